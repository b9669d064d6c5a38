"""The acts on the catalogue: list, look, add, modify, delete."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.audit.auditing import Auditing
from domain.audit.read_models import AuditEntry, AuditQuery, MethodVersion, Run, SelectableMethod
from domain.catalogue.catalogue import Action, Catalogue, Permission
from domain.catalogue.completing import filled_in
from domain.catalogue.method_spec import Backend, MethodType
from domain.catalogue.trainer_declaration import TrainerDeclaration, Trainers
from domain.catalogue.training_method import TrainingMethod
from domain.errors import RunNotFound, TrainingMethodError, Unreachable
from domain.people.acting import ActingToken
from domain.people.users import User
from domain.printable import printable
from domain.runs.flow_runs import FlowRuns
from domain.runs.training_run import RunStatus
from domain.runs.training_runs import TrainingRuns
from domain.use_cases.act import Act
from domain.values import Value

START_FROM = "from_method"
"""What a method to start from is called in what is recorded of an attempt."""

_NAME_AT_MOST = 80
_ALL = 10_000
_RUNS_LOOKED_AT = 500
_ENTRIES_LOOKED_AT = 1000
_CAME_BY = ("preinstall", "add", "add-again")


class Listed(Value):
    """A selectable method beside who added it, when (UTC), and its newest run."""

    method: SelectableMethod
    added_by: str | None = None
    added_at: datetime | None = None
    last_run: Run | None = None


class Shown(Value):
    """A method with the newest entries on it, the oldest of them first, and its newest runs."""

    method: SelectableMethod
    history: tuple[AuditEntry, ...]
    runs: tuple[Run, ...]


class Changed(Value):
    """A method after a change, and as it was before it. `remark` says what lags behind, such as Prefect."""

    method: SelectableMethod
    before: SelectableMethod | None = None
    remark: str | None = None


class TakenOut(Value):
    """A method as it was, and the runs that waited and were cancelled. `remark` says what lags behind."""

    method: SelectableMethod
    cancelled: tuple[UUID, ...]
    remark: str | None = None


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


class ShowMethodInFull(Act[Shown]):
    """The same, with so many of its newest entries and runs."""

    name: str
    entries: int = 10
    runs: int = 5


class MethodHistory(Act[Sequence[MethodVersion]]):
    """What a method was from one change to the next, the oldest first."""

    name: str


class MethodEntries(Act[Sequence[AuditEntry]]):
    """Everything that the log has of a method, also of one that was deleted. Raises `MethodNotFound`."""

    name: str


class MayI(Act[Permission]):
    """Whether one may do something to a method. Nothing is tried or recorded."""

    action: Action
    name: str


class MayTry(Act[None]):
    """Refuse, and record, what one may not do whatever the values are: for what cannot even be read."""

    action: Action
    name: str
    tried: Mapping[str, Any]


class AddMethod(Act[Changed]):
    """Put a method into the catalogue; what is left out of `fields` is that of `start_from`, or the trainer's.

    A program that acts for a person gives its `token`.
    """

    fields: Mapping[str, Any]
    start_from: Any = ""
    token: ActingToken | None = None


class ModifyMethod(Act[Changed]):
    """Change fields of a method."""

    name: str
    changes: Mapping[str, Any]


class DeletionImpact(Act[Impact]):
    """What deleting a method would affect."""

    name: str


class DeleteMethod(Act[TakenOut]):
    """Take a method out of the catalogue; runs of it that wait are cancelled.

    A program that acts for a person gives its `token`.
    """

    name: str
    token: ActingToken | None = None


class OfferedTrainers(Act[Sequence[TrainerDeclaration]]):
    """The trainers that a method can name, with the options that they declare."""


class Methods:
    """Does these acts. `follow` lets Prefect show the list as it is, and says what lags behind."""

    def __init__(
        self,
        catalogue: Catalogue,
        runs: TrainingRuns,
        auditing: Auditing,
        *,
        trainers: Trainers,
        flow_runs: Callable[[], FlowRuns],
        follow: Callable[[], str | None],
    ) -> None:
        self._catalogue = catalogue
        self._runs = runs
        self._auditing = auditing
        self._trainers = trainers
        self._flow_runs = flow_runs
        self._follow = follow
        self._at_a_glance: tuple[str, Sequence[Listed]] | None = None

    def all(self, act: ListMethods, _: User, __: UUID | None = None) -> Sequence[SelectableMethod]:
        """What can be chosen."""
        return self._catalogue.selectable(backend=act.backend, method_type=act.method_type, as_of=act.as_of)

    def at_a_glance(self, _: MethodsAtAGlance, __: User, ___: UUID | None = None) -> Sequence[Listed]:
        """What can be chosen; it is put together once for each state of the log."""
        state = self._auditing.state()
        if self._at_a_glance is None or self._at_a_glance[0] != state:
            self._at_a_glance = state, self._listed()
        return self._at_a_glance[1]

    def _listed(self) -> Sequence[Listed]:
        newest: dict[str, Run] = {}
        for run in self._runs.all(limit=_RUNS_LOOKED_AT):
            newest.setdefault(run.request.method, run)
        came: dict[str | None, AuditEntry] = {}
        for action in _CAME_BY:
            query = AuditQuery(action=action, outcome="done", newest_first=True, limit=_ENTRIES_LOOKED_AT)
            for entry in self._auditing.entries(query):
                if entry.method not in came or came[entry.method].position < entry.position:
                    came[entry.method] = entry
        listed = []
        for method in self._catalogue.selectable():
            name = method.spec.internal_name
            added = came.get(name)
            listed.append(
                Listed(
                    method=method,
                    added_by=added.actor if added else None,
                    added_at=added.recorded_at if added else None,
                    last_run=newest.get(name),
                )
            )
        return listed

    def one(self, act: ShowMethod, _: User, __: UUID | None = None) -> SelectableMethod:
        """One method that can be chosen."""
        return self._catalogue.method(act.name)

    def in_full(self, act: ShowMethodInFull, _: User, __: UUID | None = None) -> Shown:
        """One method, its newest entries, and its newest runs."""
        method = self._catalogue.method(act.name)
        newest = self._auditing.entries(AuditQuery(method=act.name, newest_first=True, limit=10 * act.entries))
        entries = [entry for entry in newest if entry.subject_type == "method"][: act.entries]
        runs = self._runs.all(method=act.name, limit=act.runs)
        return Shown(method=method, history=tuple(entries[::-1]), runs=tuple(runs))

    def history(self, act: MethodHistory, _: User, __: UUID | None = None) -> Sequence[MethodVersion]:
        """What it was from one change to the next."""
        return self._catalogue.versions(act.name)

    def entries(self, act: MethodEntries, _: User, __: UUID | None = None) -> Sequence[AuditEntry]:
        """Everything that the log has of it."""
        return self._auditing.history_of(act.name)

    def may_i(self, act: MayI, by: User, _: UUID | None = None) -> Permission:
        """Whether one may."""
        return self._catalogue.may(act.action, act.name, by=by)

    def may_try(self, act: MayTry, by: User, _: UUID | None = None) -> None:
        """Refuse whoever may not."""
        if act.action != "delete":
            self._catalogue.must_be_allowed(act.action, act.name, by=by, tried=act.tried)

    def add(self, act: AddMethod, by: User, command_id: UUID | None = None) -> Changed:
        """Put it into the catalogue. Commercial users only."""
        tried = filled_in({**act.fields, START_FROM: act.start_from})
        name = act.fields.get("internal_name") or ""
        called = printable(name if isinstance(name, str) else type(name).__name__, at_most=_NAME_AT_MOST)
        with self._catalogue.rights_before_values("add", called, by=by, tried=tried, token=act.token):
            spec = self._catalogue.completed(act.fields, start_from=act.start_from)
        method = self._catalogue.add(spec, by=by, command_id=command_id, token=act.token)
        return Changed(method=method, remark=self._follow())

    def modify(self, act: ModifyMethod, by: User, command_id: UUID | None = None) -> Changed:
        """Change it. Commercial users only, except what anyone may shape in custom01 and custom02."""
        before = self._known(act.name)
        method = self._catalogue.modify(act.name, act.changes, by=by, command_id=command_id)
        changed = before is None or method.version != before.version
        remark = self._follow() if changed else None
        return Changed(method=method, before=before, remark=remark)

    def impact(self, act: DeletionImpact, _: User, __: UUID | None = None) -> Impact:
        """What deleting it would affect."""
        spec = self._catalogue.method(act.name, to="delete it").spec
        waiting = self._runs.all(method=act.name, status=RunStatus.REQUESTED, limit=_ALL)
        running = self._runs.all(method=act.name, status=RunStatus.RUNNING, limit=_ALL)
        told = (
            f"Deleting {spec.display_name} ({act.name}) takes it out of the list: it cannot be chosen any more. "
            f"Waiting: {_runs(len(waiting))}, to be cancelled. Running: {_runs(len(running))}, to go on."
        )
        with suppress(Unreachable):  # then nothing is scheduled that could start
            if scheduled := self._flow_runs().scheduled(act.name):
                told += (
                    f" Scheduled in Prefect, these included: {_runs(scheduled)}, to be cancelled; its schedules go too."
                )
        return Impact(sentence=told, waiting=tuple(waiting))

    def delete(self, act: DeleteMethod, by: User, command_id: UUID | None = None) -> TakenOut:
        """Take it out. Commercial users only."""
        method = self._known(act.name)
        cancelled = self._catalogue.delete(act.name, by=by, command_id=command_id, token=act.token)
        for run_id in cancelled:
            # The event store has the cancellation; Prefect shows it too, where it can be reached.
            with suppress(Unreachable, RunNotFound):
                self._flow_runs().cancel(
                    run_id, f"The training method {act.name!r} was deleted before the run started."
                )
        if method is None:  # deleted by this same command, whose acknowledgement was lost
            last = self._catalogue.versions(act.name)[-1]
            method_id = TrainingMethod.create_id(act.name)
            method = SelectableMethod(method_id=method_id, spec=last.spec, version=last.version, preinstalled=False)
        return TakenOut(method=method, cancelled=tuple(cancelled), remark=self._follow())

    def _known(self, name: str) -> SelectableMethod | None:
        """The method, if it can be chosen: who may what comes before why it cannot be."""
        with suppress(TrainingMethodError):
            return self._catalogue.method(name)
        return None

    def trainers(self, _: OfferedTrainers, __: User, ___: UUID | None = None) -> Sequence[TrainerDeclaration]:
        """The trainers that there are."""
        return list(self._trainers.values())


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count or 'no'} runs"
