"""The acts on the catalogue: list, look, add, modify, delete."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from pydantic import Field

from domain.audit.auditing import Auditing
from domain.audit.read_models import AuditEntry, AuditQuery, MethodVersion, Run, SelectableMethod
from domain.bounded import shown
from domain.catalogue.catalogue import Action, Catalogue, Permission
from domain.catalogue.completing import completed, declared_by, with_options_completed
from domain.catalogue.method_spec import Backend, MethodSpec, MethodType
from domain.catalogue.trainer_declaration import TrainerDeclaration, Trainers
from domain.catalogue.training_method import TrainingMethod
from domain.errors import InvalidMethod, RunNotFound, TrainingMethodError, Unreachable
from domain.people.acting import ActingToken
from domain.people.users import User
from domain.printable import printable
from domain.runs.training_run import RunStatus
from domain.runs.training_runs import TrainingRuns
from domain.use_cases.act import Act, R
from domain.values import Value

FROM = "from_method"
_RUNS_LOOKED_AT = 500
_ENTRIES_LOOKED_AT = 1000
_MOST_RUNS = 10_000
_LONGEST_NAME = 80


class Listed(Value):
    """A selectable method beside who added it, when (UTC), and its newest run."""

    method: SelectableMethod
    added_by: str | None = None
    added_at: datetime | None = None
    last_run: Run | None = None


class Changed(Value):
    """A method after a change, or as it was when it was deleted. `remark` says what lags behind, such as Prefect.

    `cancelled` are the runs that waited for a method that was deleted.
    """

    method: SelectableMethod
    remark: str | None = None
    cancelled: tuple[UUID, ...] = ()


class Impact(Value):
    """What deleting a method would affect, in a sentence, and the runs that wait and would be cancelled."""

    sentence: str
    waiting: tuple[Run, ...]


class ListMethods(Act[Sequence[SelectableMethod]]):
    """What can be chosen for a training, or could be at a moment, by internal name."""

    backend: Backend | None = None
    method_type: MethodType | None = None
    as_of: datetime | None = None


class MethodsAtAGlance(Act[Sequence[Listed]]):
    """What can be chosen, with who added it and its newest run, by internal name."""


class ShowMethod(Act[SelectableMethod]):
    """One method that can be chosen. Raises `MethodNotFound`, or `MethodNotSelectable` if it was deleted."""

    name: str


class MethodHistory(Act[Sequence[MethodVersion]]):
    """What a method was from one change to the next, the oldest first. Raises `MethodNotFound`."""

    name: str


class MethodStory(Act[Sequence[AuditEntry]]):
    """Everything that was done to a method, or tried, also to one that was deleted. Raises `MethodNotFound`."""

    name: str


class MayI(Act[Permission]):
    """Whether one may do something to a method. Nothing is tried or recorded."""

    action: Action
    name: str


class MustBeAllowed(Act[None]):
    """Refuse, and record, what one may not do, before anything is said of values that could not even be read."""

    action: Action
    name: str
    tried: Mapping[str, Any]


class _ForAPerson(Act[R]):
    """A program can do this for a person: the token that lets it is spent with what comes of the act."""

    token: ActingToken | None = Field(default=None, exclude=True, repr=False)


class AddMethod(_ForAPerson[Changed]):
    """Put a method into the catalogue; what is left out of `fields` is that of `start_from`, or the trainer's."""

    fields: Mapping[str, Any]
    start_from: object = ""


class ModifyMethod(Act[Changed]):
    """Change fields of a method; what options leave out is the trainer's."""

    name: str
    changes: Mapping[str, Any]


class DeletionImpact(Act[Impact]):
    """What deleting a method would affect. Raises `MethodNotFound`."""

    name: str


class DeleteMethod(_ForAPerson[Changed]):
    """Take a method out of the catalogue; runs of it that wait are cancelled."""

    name: str


class OfferedTrainers(Act[Sequence[TrainerDeclaration]]):
    """The trainers that a method can name, with the options that they declare."""


class InPrefect(Protocol):
    """What Prefect holds of a method. It is reached when it is asked."""

    def scheduled(self, method: str) -> int:
        """How many flow runs of a method are scheduled. Raises `PrefectUnavailable`."""
        ...

    def cancel(self, run_id: UUID, reason: str) -> None:
        """Let a flow run be cancelled. Raises `RunNotFound`, `PrefectUnavailable`."""
        ...


class Methods:
    """Does these acts. `follow` lets Prefect follow the catalogue, and says what to tell where it cannot."""

    def __init__(
        self,
        catalogue: Catalogue,
        runs: TrainingRuns,
        auditing: Auditing,
        *,
        trainers: Trainers,
        prefect: InPrefect,
        follow: Callable[[], str | None],
    ) -> None:
        self._catalogue = catalogue
        self._runs = runs
        self._auditing = auditing
        self._trainers = trainers
        self._prefect = prefect
        self._follow = follow

    # Looking.

    def all(self, act: ListMethods, _: User, __: UUID | None = None) -> Sequence[SelectableMethod]:
        """What can be chosen for a training, or could be at a moment."""
        return self._catalogue.selectable(backend=act.backend, method_type=act.method_type, as_of=act.as_of)

    def at_a_glance(self, _: MethodsAtAGlance, __: User, ___: UUID | None = None) -> Sequence[Listed]:
        """What can be chosen, with who added it and its newest run."""
        newest: dict[str, Run] = {}
        for run in self._runs.all(limit=_RUNS_LOOKED_AT):
            newest.setdefault(run.request.method, run)
        added: dict[str | None, AuditEntry] = {}
        for action in ("preinstall", "add", "add-again"):
            query = AuditQuery(action=action, outcome="done", newest_first=True, limit=_ENTRIES_LOOKED_AT)
            for entry in self._auditing.entries(query):
                before = added.get(entry.method)
                if before is None or before.position < entry.position:
                    added[entry.method] = entry
        listed = []
        for method in self._catalogue.selectable():
            came, last_run = added.get(method.spec.internal_name), newest.get(method.spec.internal_name)
            by, at = (came.actor, came.recorded_at) if came else (None, None)
            listed.append(Listed(method=method, added_by=by, added_at=at, last_run=last_run))
        return listed

    def show(self, act: ShowMethod, _: User, __: UUID | None = None) -> SelectableMethod:
        """One method that can be chosen."""
        return self._catalogue.method(act.name)

    def history(self, act: MethodHistory, _: User, __: UUID | None = None) -> Sequence[MethodVersion]:
        """What a method was from one change to the next."""
        return self._catalogue.versions(act.name)

    def story(self, act: MethodStory, _: User, __: UUID | None = None) -> Sequence[AuditEntry]:
        """Everything that was done to a method, or tried."""
        return self._auditing.history_of(act.name)

    def may(self, act: MayI, by: User, _: UUID | None = None) -> Permission:
        """Whether this person may do something to a method."""
        return self._catalogue.may(act.action, act.name, by=by)

    def trainers(self, _: OfferedTrainers, __: User, ___: UUID | None = None) -> Sequence[TrainerDeclaration]:
        """The trainers that a method can name."""
        return list(self._trainers.values())

    def impact(self, act: DeletionImpact, _: User, __: UUID | None = None) -> Impact:
        """What deleting a method would affect."""
        spec = self._catalogue.method(act.name).spec
        waiting = tuple(self._runs.all(method=act.name, status=RunStatus.REQUESTED, limit=_MOST_RUNS))
        running = len(self._runs.all(method=act.name, status=RunStatus.RUNNING, limit=_MOST_RUNS))
        told = (
            f"Deleting {spec.display_name} ({act.name}) takes it out of the list: it cannot be chosen any more. "
            f"Waiting: {_counted(len(waiting))}, to be cancelled. Running: {_counted(running)}, to go on."
        )
        with suppress(Unreachable):  # then nothing is scheduled that could start
            if scheduled := self._prefect.scheduled(act.name):
                runs = _counted(scheduled)
                told += f" Scheduled in Prefect, these included: {runs}, to be cancelled; its schedules go too."
        return Impact(sentence=told, waiting=waiting)

    # Changing.

    def must_be_allowed(self, act: MustBeAllowed, by: User, _: UUID | None = None) -> None:
        """Refuse, and record, what this person may not do."""
        if act.action != "delete":
            self._catalogue.must_be_allowed(act.action, act.name, by=by, tried=act.tried)

    def add(self, act: AddMethod, by: User, command_id: UUID | None = None) -> Changed:
        """Put a method into the catalogue."""
        tried = dict(act.fields) | ({FROM: act.start_from} if act.start_from else {})
        name = act.fields.get("internal_name")
        named = printable(name if isinstance(name, str) else type(name).__name__, at_most=_LONGEST_NAME)
        with self._catalogue.rights_before_values("add", named, by=by, tried=tried, token=act.token):
            spec = spec_of(act, self._catalogue, self._trainers)
        method = self._catalogue.add(spec, by=by, command_id=command_id, token=act.token)
        return Changed(method=method, remark=self._follow())

    def modify(self, act: ModifyMethod, by: User, command_id: UUID | None = None) -> Changed:
        """Change fields of a method."""
        changes, before = act.changes, self._known(act.name)
        if before is not None:
            changes = with_options_completed(act.changes, declared_by(before.spec, self._trainers))
        method = self._catalogue.modify(act.name, changes, by=by, command_id=command_id)
        changed = before is None or before.version != method.version
        return Changed(method=method, remark=self._follow() if changed else None)

    def delete(self, act: DeleteMethod, by: User, command_id: UUID | None = None) -> Changed:
        """Take a method out of the catalogue."""
        known = self._known(act.name)
        cancelled = self._catalogue.delete(act.name, by=by, command_id=command_id, token=act.token)
        for run_id in cancelled:
            # The event store has the cancellation; Prefect shows it too, where it can be reached.
            with suppress(Unreachable, RunNotFound):
                reason = f"The training method {act.name!r} was deleted before the run started."
                self._prefect.cancel(run_id, reason)
        if known is None:  # deleted by this same command, whose acknowledgement was lost
            last = self._catalogue.versions(act.name)[-1]
            method_id = TrainingMethod.create_id(act.name)
            known = SelectableMethod(method_id=method_id, spec=last.spec, version=last.version, preinstalled=False)
        return Changed(method=known, remark=self._follow(), cancelled=tuple(cancelled))

    def _known(self, name: str) -> SelectableMethod | None:
        """The method, if it can be chosen: who may what comes before why it cannot be."""
        with suppress(TrainingMethodError):
            return self._catalogue.method(name)
        return None


def spec_of(act: AddMethod, catalogue: Catalogue, trainers: Trainers) -> MethodSpec:
    """The method as it would be added. Raises `InvalidMethod`, or `MethodNotFound` for the method to copy."""
    if not isinstance(act.start_from, str):
        raise InvalidMethod(f"{FROM}: must be the internal name of a method, not {shown(act.start_from)}.")
    copied = catalogue.method(act.start_from).spec if act.start_from else None
    return completed(act.fields, copied=copied, trainers=trainers)


def _counted(runs: int) -> str:
    return "1 run" if runs == 1 else f"{runs or 'no'} runs"
