"""Every error of ours, in one tree.

An error is named after the broken rule; its message is for the person who meets it.

TrainingMethodError
├── Refused                          the acting user may not do this
│   ├── CommercialUsersOnly
│   ├── FlowRunNotOurs
│   ├── RunRequestChanged
│   └── TokenDoesNotHold
├── NotFound                         what was named does not exist, or not any more
│   ├── MethodNotFound
│   ├── MethodNotSelectable
│   └── RunNotFound
├── InvalidInput                     what was given cannot be accepted
│   ├── InvalidMethod
│   ├── MethodAlreadyExists
│   ├── InvalidConfigurationOptions
│   ├── InvalidRunRequest
│   ├── InvalidDataset
│   ├── InvalidBaseModel
│   ├── InvalidLicence
│   ├── InvalidSettings
│   ├── AlreadyRunning
│   └── RunAlreadyFinished
├── Unreachable                      something that is needed cannot be reached
│   ├── BackendUnavailable
│   ├── DatabaseUnavailable
│   ├── MachineMissing
│   └── PrefectUnavailable
├── BadResult                        the training ran and its outcome cannot be believed
└── CustomCodeFailed                 a method's own code did not come to its end
"""

from collections.abc import Sequence


class TrainingMethodError(Exception):
    """Root of the tree: one or two sentences that say what was refused or wrong, and what to do."""


class Refused(TrainingMethodError):
    """The acting user may not do this."""


class CommercialUsersOnly(Refused):
    """Adding, deleting and most modifying is for commercial users."""

    def __init__(self, *, user: str, to: str, because: str) -> None:
        super().__init__(
            f"{user} may not {to}: this is for commercial users only, and {because}. "
            "You can modify and use custom01 and custom02 instead, or ask for a commercial licence."
        )


class FlowRunNotOurs(Refused):
    """Workers start this service's own flows alone, deployed as its catalogue does it."""

    def __init__(self, because: str) -> None:
        super().__init__(
            f"This flow run was not started: {because}. Workers of this service start the deployments of its catalogue "
            "alone, as the catalogue made them. Start it without that, or run flows of your own in a pool of your own."
        )


class RunRequestChanged(Refused):
    """What is about to run is not what was asked for: its parameters were changed after the request."""


class TokenDoesNotHold(Refused):
    """A token that says for whom a program acts is forged, expired, used up, or for something else."""

    def __init__(self, because: str) -> None:
        super().__init__(
            f"The token of the person this program acts for {because}. Nothing was done. "
            "Have a new one issued for exactly this, with: tmm token issue"
        )


class NotFound(TrainingMethodError):
    """What was named does not exist, or not any more."""


class MethodNotFound(NotFound):
    """No training method of this name was ever added."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no training method {name!r}. List the ones there are with: tmm list")


class MethodNotSelectable(NotFound):
    """The training method was deleted, or does not run on the asked backend."""


class RunNotFound(NotFound):
    """No training run has this id."""

    def __init__(self, run_id: object) -> None:
        super().__init__(f"There is no training run {run_id}. List the ones there are with: tmm runs")


class InvalidInput(TrainingMethodError):
    """What was given cannot be accepted."""


class InvalidMethod(InvalidInput):
    """A field of a training method breaks its rule."""


class MethodAlreadyExists(InvalidInput):
    """Internal names are unique among existing methods."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"A training method {name!r} already exists. Choose another internal name, or change it with: "
            f"tmm modify {name}"
        )


class InvalidConfigurationOptions(InvalidInput):
    """One or more option values, or option declarations, break their rules; every one is named."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems) + ".")


class InvalidRunRequest(InvalidInput):
    """A field of a request for a training breaks its rule."""


class InvalidDataset(InvalidInput):
    """A dataset cannot be trained on; file, row and column are named."""


class InvalidBaseModel(InvalidInput):
    """A base model cannot be opened, or does not fit the trainer."""


class InvalidLicence(InvalidInput):
    """A licence, or a key to check it with, does not hold."""


class InvalidSettings(InvalidInput):
    """A setting of the environment cannot be used; its name is given."""


class AlreadyRunning(InvalidInput):
    """Only one Prefect server at a time keeps its data in one folder."""


class RunAlreadyFinished(InvalidInput):
    """A run that has ended stays ended."""


class Unreachable(TrainingMethodError):
    """Something that is needed cannot be reached."""


class BackendUnavailable(Unreachable):
    """This machine, or every worker, lacks the backend."""


class DatabaseUnavailable(Unreachable):
    """The event store cannot be reached, or has no tables yet."""


class MachineMissing(Unreachable):
    """Another machine that a training needs did not come, or left: the run is interrupted, and may be resumed."""


class PrefectUnavailable(Unreachable):
    """No Prefect server answers."""


class BadResult(TrainingMethodError):
    """The training ran, and its outcome cannot be believed: the run is failed with this reason."""


class CustomCodeFailed(TrainingMethodError):
    """A method's own code did not come to its end, or does not keep the contract; its file and line are named."""
