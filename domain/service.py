"""The one door to the catalogue and its runs: a public method for each command and each query."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar, cast
from uuid import UUID, uuid4

from eventsourcing.persistence import InfrastructureFactory, IntegrityError

from domain.errors import (
    DatabaseUnavailable,
    MethodAlreadyExists,
    MethodNotFound,
    MethodNotSelectable,
    Refused,
    RunAlreadyFinished,
    RunNotFound,
    TrainingMethodError,
)
from domain.event_log import EventLog
from domain.events import Aggregate, DomainEvent
from domain.method_spec import Backend, MethodSpec, MethodType
from domain.options import OptionValue, options_after_defaults
from domain.read_models import (
    AuditEntry,
    AuditQuery,
    MethodVersion,
    Run,
    SelectableMethod,
    Views,
)
from domain.refusals import ActionRefused
from domain.secrets import without_secrets
from domain.trainers import Trainers, trainer_of
from domain.training_method import TrainingMethod
from domain.training_run import Provenance, RunRequest, RunStatus, TrainingRun
from domain.users import User

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


A = TypeVar("A", TrainingMethod, TrainingRun)

_ATTEMPTS = 50


class TrainingMethods(EventLog):
    """The catalogue of training methods and their runs.

    Commands take the acting user and, optionally, a `command_id`: repeating a command with the same id after a lost
    acknowledgement does nothing twice. Every command projects what it appended; every query first catches the views
    up, so they are never stale. Raises errors of `domain.errors` only.
    """

    def __init__(self, store: InfrastructureFactory[Any], *, views: Views, trainers: Trainers) -> None:
        super().__init__(store, views=views)
        self._trainers = trainers

    # Commands on methods.

    def preinstall(self, specs: tuple[MethodSpec, ...]) -> list[str]:
        """Install the methods that were never here; names of those installed. One that was deleted stays deleted."""
        installed = []
        for spec in specs:
            if not self._history(TrainingMethod.create_id(spec.internal_name)):
                try:
                    self.save(TrainingMethod.preinstall(spec, command_id=uuid4()))
                    installed.append(spec.internal_name)
                except IntegrityError:
                    pass  # another process installed it at the same moment
        self._catch_up_after_append()
        return installed

    def add_method(self, spec: MethodSpec, *, by: User, command_id: UUID | None = None) -> SelectableMethod:
        """Put a method into the catalogue. Commercial users only."""
        command_id = command_id or uuid4()

        def decide(method: TrainingMethod | None) -> TrainingMethod:
            if method is None:
                method = TrainingMethod.add(spec, by=by, command_id=command_id)
            else:
                method.add_again(spec, by=by, command_id=command_id)
            trainer_of(spec, self._trainers).must_allow(spec)
            return method

        with self._refusals_recorded("add", spec.internal_name, by, command_id, spec.model_dump(mode="json")):
            self._carry_out(TrainingMethod.create_id(spec.internal_name), command_id, decide)
        return self.selectable_method(spec.internal_name)

    def modify_method(
        self, internal_name: str, changes: Mapping[str, Any], *, by: User, command_id: UUID | None = None
    ) -> SelectableMethod:
        """Change fields of a method. Commercial users only, except what anyone may shape in custom01 and custom02."""
        command_id = command_id or uuid4()

        def decide(method: TrainingMethod | None) -> TrainingMethod:
            method = _existing(method, internal_name)
            spec = method.spec.with_changes(changes)
            method.modify(spec, by=by, command_id=command_id)
            trainer_of(spec, self._trainers).must_allow(spec)
            return method

        with self._refusals_recorded("modify", internal_name, by, command_id, changes):
            self._carry_out(TrainingMethod.create_id(internal_name), command_id, decide)
        return self.selectable_method(internal_name)

    def delete_method(self, internal_name: str, *, by: User, command_id: UUID | None = None) -> list[UUID]:
        """Take a method out of the catalogue; ids of its waiting runs, which are cancelled. Commercial users only.

        A run that has started goes on.
        """
        command_id = command_id or uuid4()

        def decide(method: TrainingMethod | None) -> TrainingMethod:
            method = _existing(method, internal_name)
            method.delete(by=by, command_id=command_id)
            return method

        with self._refusals_recorded("delete", internal_name, by, command_id, {}):
            self._carry_out(TrainingMethod.create_id(internal_name), command_id, decide)
        return self.cancel_waiting_runs(internal_name, by=by)

    # Commands on runs.

    def request_run(
        self, run_id: UUID, request: RunRequest, *, by: User, command_id: UUID | None = None
    ) -> TrainingRun:
        """Ask for a training. Idempotent by run id; the same id with another request is refused."""
        command_id = command_id or uuid4()

        def decide(run: TrainingRun | None) -> TrainingRun:
            if run is not None:
                run.must_be_asked_for_as(request)
                return run
            return TrainingRun.ask_for(run_id, request, by=by, command_id=command_id)

        with self._refusals_recorded("request", request.method, by, command_id, request.model_dump(mode="json")):
            if self._run(run_id) is None:
                self._options_for(request)
            return self._carry_out(run_id, command_id, decide)

    def start_run(
        self, run_id: UUID, provenance: Provenance, *, by: User, command_id: UUID | None = None
    ) -> dict[str, OptionValue]:
        """Record that a worker begins; the run's options after defaults.

        The method must be selectable at this very moment: the event is appended only if the method's stream has not
        moved since it was looked at, so a deletion and a start fall into one truthful order. A run whose method is
        gone is cancelled with that reason.
        """
        command_id = command_id or uuid4()
        options: dict[str, OptionValue] = {}
        for _ in range(_ATTEMPTS):
            run = self._existing_run(run_id)
            try:
                method, options = self._options_for(run.request)
            except MethodNotSelectable as error:
                with suppress(RunAlreadyFinished):  # whoever deleted the method may have cancelled it first
                    self.cancel_run(run_id, str(error), by=by)
                raise
            if run.status is RunStatus.RUNNING and self._did(run_id, command_id):
                return options
            if method.spec.code is not None:
                provenance = provenance.model_copy(update={"code_hash": method.spec.code.hash})
            run.start(
                method_version=method.version, options=options, provenance=provenance, by=by, command_id=command_id
            )
            try:
                self.save(run, unchanged={method.id: method.version})
            except IntegrityError:
                continue
            self._catch_up_after_append()
            return options
        raise _busy(run_id)

    def complete_run(
        self,
        run_id: UUID,
        *,
        artifact: str,
        artifact_hash: str,
        steps: int,
        metrics: Mapping[str, float],
        before: Mapping[str, float],
        after: Mapping[str, float],
        weights_hash: str | None = None,
        by: User,
        command_id: UUID | None = None,
    ) -> None:
        """Record a run's good end: its artefact's address and sha256, and the same evaluation before and after."""
        command_id = command_id or uuid4()
        self._change_run(
            run_id,
            command_id,
            lambda run: run.complete(
                artifact=artifact,
                artifact_hash=artifact_hash,
                steps=steps,
                metrics=dict(metrics),
                before=dict(before),
                after=dict(after),
                weights_hash=weights_hash,
                by=by,
                command_id=command_id,
            ),
        )

    def fail_run(
        self, run_id: UUID, reason: str, *, interrupted: bool = False, by: User, command_id: UUID | None = None
    ) -> None:
        """Record a run's bad end and why; one that was `interrupted` may be resumed."""
        command_id = command_id or uuid4()
        self._change_run(
            run_id, command_id, lambda run: run.fail(reason, interrupted=interrupted, by=by, command_id=command_id)
        )

    def resume_run(self, run_id: UUID, step: int, *, by: User, command_id: UUID | None = None) -> None:
        """Record that an interrupted run goes on from the checkpoint of this step."""
        command_id = command_id or uuid4()
        self._change_run(run_id, command_id, lambda run: run.resume(step=step, by=by, command_id=command_id))

    def cancel_run(self, run_id: UUID, reason: str, *, by: User, command_id: UUID | None = None) -> None:
        """Record that a run was given up and why."""
        command_id = command_id or uuid4()
        self._change_run(run_id, command_id, lambda run: run.cancel(reason, by=by, command_id=command_id))

    def cancel_waiting_runs(self, internal_name: str, *, by: User) -> list[UUID]:
        """Cancel the runs of a method that have not started; their ids."""
        waiting = self.training_runs(method=internal_name, status=RunStatus.REQUESTED, limit=10_000)
        for run in waiting:
            with suppress(RunAlreadyFinished):  # whoever wanted to start it may have cancelled it first
                self.cancel_run(
                    run.run_id, f"The training method {internal_name!r} was deleted before the run started.", by=by
                )
        return [run.run_id for run in waiting]

    # Queries.

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
        method = self._views.selectable_method(internal_name)
        if method is None:
            _existing(self._method(internal_name), internal_name).must_be_selectable(to="choose it")
            raise MethodNotFound(internal_name)
        return method

    def training_runs(
        self,
        *,
        method: str | None = None,
        method_version: int | None = None,
        status: RunStatus | None = None,
        limit: int = 100,
    ) -> list[Run]:
        """Training runs, the newest first."""
        self.catch_up()
        return self._views.training_runs(method=method, method_version=method_version, status=status, limit=limit)

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
        return _existing(cast(TrainingMethod | None, _fold(history[: run.method_version])), run.request.method).spec

    def options_of(self, request: RunRequest) -> dict[str, OptionValue]:
        """The options that a run of this request would have now, after the defaults of its method and its trainer."""
        return self._options_for(request)[1]

    # What a person may do, and why things are as they are.

    def verdict(self, action: Action, internal_name: str, *, by: User) -> Verdict:
        """Whether this user may add, modify or delete this method now. Nothing is changed or recorded."""
        method = self._method(internal_name)
        try:
            if action == "add":
                MethodSpec.must_be_a_name(internal_name)
                by.must_be_commercial(to="add a training method")
                if method is not None and method.selectable:
                    raise MethodAlreadyExists(internal_name)
            elif action == "delete":
                _existing(method, internal_name).delete(by=by, command_id=uuid4())
            else:
                method = _existing(method, internal_name)
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

    # How commands are carried out.

    def _carry_out(self, aggregate_id: UUID, command_id: UUID, decide: Callable[[Any], A]) -> A:
        """Decide on the present state and append; decide again when somebody else came first.

        An `IntegrityError` may also be the echo of our own append whose acknowledgement was lost: then the stream
        holds an event with our command id, and the command is done.
        """
        for _ in range(_ATTEMPTS):
            history = self._history(aggregate_id)
            if any(event.command_id == command_id for event in history):
                self._catch_up_after_append()
                return cast(A, _fold(history))
            aggregate = decide(_fold(history))
            if not aggregate.pending_events:
                return aggregate
            try:
                self.save(aggregate)
            except IntegrityError:
                continue
            self._catch_up_after_append()
            return aggregate
        raise _busy(aggregate_id)

    def _change_run(self, run_id: UUID, command_id: UUID, change: Callable[[TrainingRun], None]) -> None:
        def decide(run: TrainingRun | None) -> TrainingRun:
            if run is None:
                raise RunNotFound(run_id)
            change(run)
            return run

        self._carry_out(run_id, command_id, decide)

    def record_refused(self, refusal: Refused, *, action: str, name: str, tried: Mapping[str, Any], by: User) -> None:
        """Record an attempt that was refused before it came to its command."""
        with suppress(Refused), self._refusals_recorded(action, name, by, uuid4(), tried):
            raise refusal

    @contextmanager
    def _refusals_recorded(
        self, action: str, name: str, by: User, command_id: UUID, tried: Mapping[str, Any]
    ) -> Iterator[None]:
        try:
            yield
        except Refused as refusal:
            self._record_event(
                ActionRefused(
                    originator_id=uuid4(),
                    originator_version=1,
                    timestamp=ActionRefused.create_timestamp(),
                    by=by,
                    command_id=command_id,
                    action=action,
                    subject_type="run" if action == "request" else "method",
                    subject_name=name,
                    reason=without_secrets(str(refusal)),
                    tried=without_secrets(dict(tried)),
                )
            )
            raise

    def _options_for(self, request: RunRequest) -> tuple[TrainingMethod, dict[str, OptionValue]]:
        """The method as it is now, and the options after its defaults. Raises what makes the request impossible."""
        method = _existing(self._method(request.method), request.method)
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
        return [cast(DomainEvent, event) for event in self.events.get(aggregate_id)]

    def _did(self, aggregate_id: UUID, command_id: UUID) -> bool:
        return any(event.command_id == command_id for event in self._history(aggregate_id))

    def _method(self, internal_name: str) -> TrainingMethod | None:
        return cast(TrainingMethod | None, _fold(self._history(TrainingMethod.create_id(internal_name))))

    def _run(self, run_id: UUID) -> TrainingRun | None:
        return cast(TrainingRun | None, _fold(self._history(run_id)))

    def _existing_run(self, run_id: UUID) -> TrainingRun:
        run = self._run(run_id)
        if run is None:
            raise RunNotFound(run_id)
        return run


def _fold(history: list[DomainEvent]) -> Aggregate | None:
    aggregate: Aggregate | None = None
    for event in history:
        aggregate = cast(Aggregate.Event, event).mutate(aggregate)
    return aggregate


def _existing(method: TrainingMethod | None, internal_name: str) -> TrainingMethod:
    if method is None:
        raise MethodNotFound(internal_name)
    return method


def _busy(aggregate_id: UUID) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"Others kept changing {aggregate_id} at the same moment, {_ATTEMPTS} times in a row. "
        "Nothing was changed; try again."
    )
