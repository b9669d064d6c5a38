"""Every error of ours, in one tree.

An error is named after the broken rule; its message is for the person who meets it.

TrainingMethodError
├── Refused                          the acting user may not do this
│   ├── CommercialUsersOnly
│   ├── FlowRunNotOurs
│   ├── NameNotToBeHad
│   ├── NotOfTheRole
│   ├── NotTheOperator
│   ├── RunRequestChanged
│   └── TokenDoesNotHold
├── NotFound                         what was named does not exist, or not any more
│   ├── MethodNotFound
│   ├── MethodNotSelectable
│   └── RunNotFound
├── InvalidInput                     what was given cannot be accepted
│   ├── InvalidMethod
│   │   ├── CodeNotPutBack
│   │   ├── NoCodeOfItsOwn
│   │   └── NoSuchVersion
│   ├── MethodAlreadyExists
│   ├── InvalidConfigurationOptions
│   ├── InvalidRunRequest
│   ├── InvalidDataset
│   ├── InvalidBaseModel
│   ├── InvalidLicence
│   ├── InvalidSettings
│   ├── InvalidQuery
│   ├── NotStorable
│   ├── InstallationLiesOpen
│   ├── AlreadyRunning
│   ├── ClockNotBehind
│   ├── NothingToMeasure
│   └── RunAlreadyFinished
├── Unreachable                      something that is needed cannot be reached
│   ├── BackendUnavailable
│   ├── DatabaseUnavailable
│   ├── MachineMissing
│   └── PrefectUnavailable
├── EventUnreadable                  what happened to a method or run is stored in a form that cannot be read
├── BadResult                        the training ran and its outcome cannot be believed
└── CustomCodeFailed                 a method's own code did not come to its end
    └── CodeBreaksContract
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from domain.bounded import shown
from domain.printable import printable

_PROBLEMS_TOLD = 20
_WORDS_AT_MOST = 600


class Remedy(NamedTuple):
    """What one can do about an error: an act by its name, with what it is given, and what doing it is good for.

    Each way in shows it as its own: a command, a link, a call. `words` begin a sentence, such as «Repeat it».
    """

    words: str
    act: str
    given: Mapping[str, str] = {}


class TrainingMethodError(Exception):
    """Root of the tree: one or two sentences that say what was refused or wrong, and `remedies`, if there are any."""

    remedies: tuple[Remedy, ...] = ()

    def but(self, *remedies: Remedy) -> Self:
        """This error, with what one can do about it."""
        self.remedies = remedies
        return self


class Refused(TrainingMethodError):
    """The acting user may not do this."""


class CommercialUsersOnly(Refused):
    """Adding, deleting and most modifying is for commercial users."""

    def __init__(self, *, user: str, to: str, because: str) -> None:
        super().__init__(
            f"{user} may not {to}: this is for commercial users only, and {because}. "
            "You can modify and use custom01 and custom02 instead, or ask for a commercial licence."
        )


class NotTheOperator(Refused):
    """The installation belongs to somebody else, who keeps it closed."""


class NotOfTheRole(Refused):
    """This is for people of a role: operators, auditors, or those who may save code."""


class NameNotToBeHad(Refused):
    """Nobody may sign in under this name, or somebody else's it is."""


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
            "Have a new one issued for exactly this."
        )
        self.but(Remedy("Issue one", "IssueToken"))


class NotFound(TrainingMethodError):
    """What was named does not exist, or not any more."""


class MethodNotFound(NotFound):
    """No training method of this name was ever added."""

    def __init__(self, name: object) -> None:
        super().__init__(f"There is no training method {shown(name)}.")
        self.but(Remedy("List the ones there are", "ListMethods"))


class MethodNotSelectable(NotFound):
    """The training method was deleted, or does not run on the asked backend."""


class RunNotFound(NotFound):
    """No training run has this id."""

    def __init__(self, run_id: object) -> None:
        super().__init__(f"There is no training run {printable(str(run_id), at_most=100)}.")
        self.but(Remedy("List the ones there are", "ListRuns"))


class InvalidInput(TrainingMethodError):
    """What was given cannot be accepted."""


class InvalidMethod(InvalidInput):
    """A field of a training method breaks its rule."""


class MethodAlreadyExists(InvalidInput):
    """Internal names are unique among existing methods."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"A training method {name!r} already exists. Choose another internal name, or change the one there is."
        )
        self.but(Remedy("Change it", "ModifyMethod", {"name": name}))


class NoSuchVersion(InvalidMethod):
    """A method has no version of this number, and no code whose hash begins so."""

    def __init__(self, name: str, version: str) -> None:
        super().__init__(f"{name} has no version {version}.")
        self.name = name


class NoCodeOfItsOwn(InvalidMethod):
    """A version of a method trains with a trainer that comes with the service."""

    def __init__(self, name: str, version: int, trainer: str) -> None:
        super().__init__(f"Version {version} of {name} has no code of its own: it trains with {trainer}.")
        self.name = name


class CodeNotPutBack(InvalidMethod):
    """Code that breaks the contract is only kept to be mended."""

    def __init__(self, name: str, code_hash: str, broken: Sequence[str]) -> None:
        told = printable(_some(broken, 2), at_most=_WORDS_AT_MOST)
        super().__init__(f"The code {code_hash[:12]} breaks the contract ({told}), so {name} cannot train with it.")
        self.name = name
        self.code_hash = code_hash


class InvalidConfigurationOptions(InvalidInput):
    """One or more option values, or option declarations, break their rules; every one is named."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        told = [printable(problem, at_most=_WORDS_AT_MOST) for problem in problems[:_PROBLEMS_TOLD]]
        more = len(problems) - len(told)
        super().__init__("; ".join([*told, *([f"and {more:,} more"] if more else [])]) + ".")


class InvalidRunRequest(InvalidInput):
    """A field of a request for a training breaks its rule."""


class InvalidDataset(InvalidInput):
    """A dataset cannot be trained on; file, row and column are named.

    `columns` are those with which it could be: `prompt=question, completion=answer`; empty where none are known.
    """

    def __init__(self, message: str, *, columns: str = "") -> None:
        super().__init__(message)
        self.columns = columns


class InvalidBaseModel(InvalidInput):
    """A base model cannot be opened, or does not fit the trainer."""


class InvalidLicence(InvalidInput):
    """A licence, or a key to check it with, does not hold."""


class InvalidSettings(InvalidInput):
    """A setting of the environment cannot be used; its name is given."""


class InvalidQuery(InvalidInput):
    """A condition on what to read from the audit log breaks its rule."""


class NotStorable(InvalidInput):
    """What is to be recorded is larger than the event log takes, or could not be read back from it."""

    def __init__(self, what: str, because: str) -> None:
        super().__init__(f"Nothing was changed: {what} cannot be recorded, because {because}.")


class InstallationLiesOpen(InvalidInput):
    """What the rules of a team's installation stand on can be read or changed by others."""


class AlreadyRunning(InvalidInput):
    """Only one Prefect server at a time keeps its data in one folder."""


class ClockNotBehind(InvalidInput):
    """Only a clock that is behind the log's newest entry is to be accepted."""

    def __init__(self) -> None:
        super().__init__(
            "There is nothing to accept: the clock that entries are recorded by is not a minute behind the newest of "
            "them. Only where it had jumped ahead, and was set right since, does time have to count anew."
        )


class NothingToMeasure(InvalidInput):
    """Only a run that completed without being measured can be measured later."""


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


class EventUnreadable(TrainingMethodError):
    """What happened to a method or run is stored in a form that cannot be read: nothing can be decided about it."""

    def __init__(self, stream: object) -> None:
        super().__init__(
            f"An event in the history of {stream} cannot be read, so nothing can be done with it. "
            "Everything else works."
        )
        self.but(Remedy("See which event it is", "Examine"))


class BadResult(TrainingMethodError):
    """The training ran, and its outcome cannot be believed: the run is failed with this reason."""


class CustomCodeFailed(TrainingMethodError):
    """A method's own code did not come to its end, or does not keep the contract; its file and line are named."""


class CodeBreaksContract(CustomCodeFailed):
    """Code breaks claims of the contract of training code, and was not saved."""

    def __init__(self, broken: Sequence[str]) -> None:
        claims = "1 claim" if len(broken) == 1 else f"{len(broken)} claims"
        told = printable(_some(broken, 3), at_most=_WORDS_AT_MOST)
        super().__init__(f"The code breaks {claims} of the contract ({told}), so it was not saved. Mend it.")


def _some(claims: Sequence[str], most: int) -> str:
    return "; ".join(claims[:most]) + ("; …" if len(claims) > most else "")
