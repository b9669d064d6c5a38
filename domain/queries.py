"""What can be asked of the catalogue and its runs: what there is, what a person may do, and why."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID, uuid4

from eventsourcing.persistence import InfrastructureFactory, MapperDeserialisationError

from domain.errors import (
    EventUnreadable,
    MethodAlreadyExists,
    MethodNotFound,
    MethodNotSelectable,
    RunNotFound,
    TrainingMethodError,
)
from domain.events import Aggregate, DomainEvent
from domain.method_spec import Backend, MethodSpec, MethodType
from domain.options import OptionValue, options_after_defaults
from domain.ports import CheckedCode
from domain.read_models import AuditEntry, AuditQuery, MethodVersion, Run, SelectableMethod, Views
from domain.trainers import Trainers, trainer_of
from domain.training_method import TrainingMethod
from domain.training_run import RunRequest, RunStatus, TrainingRun
from domain.users import User
from domain.verified_log import VerifiedLog

Action = Literal["add", "modify", "delete"]


@dataclass(frozen=True)
class Verdict:
    """Whether somebody may do something: the error that they would meet, or None."""

    error: TrainingMethodError | None


@dataclass(frozen=True)
class Standing:
    """Whether a method is selectable, the entry that made it so, and the newest attempt that was refused."""

    selectable: bool
    because: AuditEntry | None
    refused: AuditEntry | None


class Queries(VerifiedLog):
    """The queries of the service. Every one first catches the views up, so they are never stale."""

    def __init__(
        self, store: InfrastructureFactory[Any], *, views: Views, trainers: Trainers, code: CheckedCode
    ) -> None:
        super().__init__(store, views=views)
        self._trainers = trainers
        self._code = code

    def selectable_methods(
        self,
        *,
        backend: Backend | None = None,
        method_type: MethodType | None = None,
        as_of: datetime | None = None,
    ) -> list[SelectableMethod]:
        """What can be chosen for a training, or could be at a moment, by internal name."""
        self.catch_up()
        methods = (
            self._views.selectable_methods()
            if as_of is None
            else self._views.selectable_methods_at(self._views.position_at(as_of))
        )
        return [
            method
            for method in methods
            if (backend is None or backend in method.spec.backends)
            and (method_type is None or method.spec.method_type is method_type)
        ]

    def selectable_method(self, internal_name: str) -> SelectableMethod:
        """One method that can be chosen. Raises `MethodNotFound`, or `MethodNotSelectable` if it was deleted."""
        self.catch_up()
        method = self._views.selectable_method(internal_name) if MethodSpec.is_a_name(internal_name) else None
        if method is None:
            existing(self._method(internal_name), internal_name).must_be_selectable(to="choose it")
            raise MethodNotFound(internal_name)
        return method

    def training_runs(
        self,
        *,
        method: str | None = None,
        method_version: int | None = None,
        status: RunStatus | None = None,
        requested_by: str | None = None,
        after: UUID | None = None,
        limit: int = 100,
    ) -> list[Run]:
        """Training runs, the newest first; those behind the run `after`."""
        self.catch_up()
        if method is not None and not MethodSpec.is_a_name(method):
            return []
        return self._views.training_runs(
            method=method,
            method_version=method_version,
            status=status,
            requested_by=requested_by,
            after=after,
            limit=limit,
        )

    def training_run(self, run_id: UUID) -> Run:
        """One training run. Raises `RunNotFound`."""
        self.catch_up()
        run = self._views.training_run(run_id)
        if run is None:
            raise RunNotFound(run_id)
        return run

    def method_versions(self, internal_name: str) -> list[MethodVersion]:
        """What a method was, the oldest first: one for each change of it. Raises `MethodNotFound`."""
        history = self._history(TrainingMethod.create_id(internal_name))
        if not history:
            raise MethodNotFound(internal_name)
        return [
            MethodVersion(version=event.originator_version, spec=event.spec, at=event.timestamp, by=event.by.name)
            for event in history
            if isinstance(
                event,
                TrainingMethod.Preinstalled
                | TrainingMethod.Added
                | TrainingMethod.AddedAgain
                | TrainingMethod.Modified,
            )
        ]

    def method_of_run(self, run_id: UUID) -> MethodSpec:
        """The method of a run that has started, as it was at that moment, whatever became of it since."""
        run = self.training_run(run_id)
        history = self._history(TrainingMethod.create_id(run.request.method))
        return existing(cast(TrainingMethod | None, fold(history[: run.method_version])), run.request.method).spec

    def options_of(self, request: RunRequest) -> dict[str, OptionValue]:
        """The options that a run of this request would have now, after the defaults of its method and its trainer."""
        return self._options_for(request)[1]

    # What a person may do, and why things are as they are.

    def verdict(self, action: Action, internal_name: str, *, by: User) -> Verdict:
        """Whether this user may add, modify or delete this method now. Nothing is changed or recorded."""
        method = self._method(internal_name)
        try:
            if action == "add":
                by.must_be_commercial(to="add a training method")
                MethodSpec.must_be_a_name(internal_name)
                if method is not None and method.selectable:
                    raise MethodAlreadyExists(internal_name)
            elif action == "delete":
                existing(method, internal_name).delete(by=by, command_id=uuid4())
            else:
                method = existing(method, internal_name)
                changed = method.spec.model_copy(update={"description": f"{method.spec.description} "})
                method.modify(changed, by=by, command_id=uuid4())
        except TrainingMethodError as error:
            return Verdict(error=error)
        return Verdict(error=None)

    def why(self, internal_name: str) -> Standing:
        """Why a method is, or is not, selectable: the entry that made it so. Raises `MethodNotFound`."""
        self.catch_up()
        decisive = [
            entry
            for action in ("preinstall", "add", "add-again", "delete")
            for entry in self._newest(AuditQuery(method=internal_name, action=action, outcome="done"))
        ]
        attempts = self._newest(AuditQuery(method=internal_name, outcome="refused"))
        if not decisive and not attempts:
            raise MethodNotFound(internal_name)
        entry = max(decisive, key=lambda decided: decided.position, default=None)
        return Standing(
            selectable=entry is not None and entry.action != "delete",
            because=entry,
            refused=attempts[0] if attempts else None,
        )

    def history_of(self, internal_name: str) -> list[AuditEntry]:
        """Everything that was done to a method, or tried, the oldest first. Raises `MethodNotFound`."""
        found: list[AuditEntry] = []
        for action in ("preinstall", "add", "add-again", "modify", "delete"):
            query: AuditQuery | None = AuditQuery(method=internal_name, action=action, limit=1000)
            while query is not None:
                page = self.audit_page(query)
                found += page.entries
                query = query.model_copy(update={"after": page.next_after}) if page.next_after is not None else None
        if not found:
            raise MethodNotFound(internal_name)
        return sorted(found, key=lambda entry: entry.position)

    def _newest(self, query: AuditQuery) -> list[AuditEntry]:
        return self.audit(query.model_copy(update={"newest_first": True, "limit": 1}))

    # From the log itself, not from a view.

    def _options_for(self, request: RunRequest) -> tuple[TrainingMethod, dict[str, OptionValue]]:
        """The method as it is now, and the options after its defaults. Raises what makes the request impossible."""
        method = existing(self._method(request.method), request.method)
        method.must_be_selectable(to="train with it")
        if request.backend not in method.spec.backends:
            raise MethodNotSelectable(
                f"The training method {request.method!r} does not run on {request.backend}; "
                f"it runs on {', '.join(method.spec.backends)}."
            )
        offered = options_after_defaults(method.spec.configuration_options, request.options)
        declared = {option.name: option.default for option in trainer_of(method.spec, self._trainers).options}
        return method, declared | offered

    def _history(self, aggregate_id: UUID) -> list[DomainEvent]:
        try:
            return [cast(DomainEvent, event) for event in self.events.get(aggregate_id)]
        except MapperDeserialisationError as error:
            raise EventUnreadable(aggregate_id) from error

    def _is_there(self, aggregate_id: UUID) -> bool:
        """Whether anything ever happened to it, also what cannot be read."""
        try:
            return bool(self._history(aggregate_id))
        except EventUnreadable:
            return True

    def _method(self, internal_name: str) -> TrainingMethod | None:
        if not MethodSpec.is_a_name(internal_name):
            return None
        return cast(TrainingMethod | None, fold(self._history(TrainingMethod.create_id(internal_name))))

    def _run(self, run_id: UUID) -> TrainingRun | None:
        return cast(TrainingRun | None, fold(self._history(run_id)))


def fold(history: list[DomainEvent]) -> Aggregate | None:
    """What a stream of events makes of its aggregate; None of no events."""
    aggregate: Aggregate | None = None
    for event in history:
        aggregate = cast(Aggregate.Event, event).mutate(aggregate)
    return aggregate


def existing(method: TrainingMethod | None, internal_name: str) -> TrainingMethod:
    """This method. Raises `MethodNotFound` if it is none."""
    if method is None:
        raise MethodNotFound(internal_name)
    return method
