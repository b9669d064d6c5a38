"""The one door to the catalogue and its runs: a public method for each command and each query."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Literal, TypeVar, cast
from uuid import UUID, uuid4

from eventsourcing.persistence import IntegrityError

from domain.acting import ActedFor, ActingToken
from domain.errors import (
    DatabaseUnavailable,
    EventUnreadable,
    MethodNotSelectable,
    Refused,
    RunAlreadyFinished,
    RunNotFound,
    TokenDoesNotHold,
)
from domain.method_spec import MethodSpec
from domain.options import OptionValue
from domain.queries import existing, fold
from domain.read_models import SelectableMethod
from domain.refusals import ActionRefused
from domain.trainers import trainer_of
from domain.training_method import TrainingMethod
from domain.training_run import Provenance, RunRequest, RunStatus, TrainingRun
from domain.users import User

A = TypeVar("A", TrainingMethod, TrainingRun)

_Change = Literal["add", "modify"]

_ATTEMPTS = 50
_GIVES_A_SPEC = (TrainingMethod.Preinstalled, TrainingMethod.Added, TrainingMethod.Modified, TrainingMethod.AddedAgain)


class TrainingMethods(ActedFor):
    """The catalogue of training methods and their runs.

    Commands take the acting user and, optionally, a `command_id`: repeating a command with the same id after a lost
    acknowledgement does nothing twice. Those that a program can give for a person take the `token` that lets it: it is
    spent with what comes of the command, done or refused, and with nothing else. Every command projects what it
    appended; every query first catches the views up, so they are never stale. Raises errors of `domain.errors` only.
    """

    # Commands on methods.

    def preinstall(self, specs: tuple[MethodSpec, ...]) -> list[str]:
        """Install the methods that were never here; names of those installed. One that was deleted stays deleted."""
        installed = []
        for spec in specs:
            if not self._is_there(TrainingMethod.create_id(spec.internal_name)):
                try:
                    self.save(TrainingMethod.preinstall(spec, command_id=uuid4()))
                    installed.append(spec.internal_name)
                except IntegrityError:
                    pass  # another process installed it at the same moment
        self._catch_up_after_append()
        return installed

    def add_method(
        self, spec: MethodSpec, *, by: User, command_id: UUID | None = None, token: ActingToken | None = None
    ) -> SelectableMethod:
        """Put a method into the catalogue. Commercial users only."""
        command_id = command_id or uuid4()

        def decide(method: TrainingMethod | None) -> TrainingMethod:
            if method is None:
                method = TrainingMethod.add(spec, by=by, command_id=command_id)
            else:
                method.add_again(spec, by=by, command_id=command_id)
            self._must_be_trainable(spec)
            return method

        with self._refusals_recorded("add", spec.internal_name, by, command_id, spec.model_dump(mode="json"), token):
            self._carry_out(TrainingMethod.create_id(spec.internal_name), command_id, decide, token)
        return self.selectable_method(spec.internal_name)

    def must_be_entitled_to_add(self, internal_name: str, *, by: User) -> None:
        """Refuse, and record, an add by whoever may add nothing, before anything is kept for it."""
        with self._refusals_recorded("add", internal_name, by, uuid4(), {}):
            by.must_be_commercial(to="add a training method")

    def modify_method(
        self, internal_name: str, changes: Mapping[str, Any], *, by: User, command_id: UUID | None = None
    ) -> SelectableMethod:
        """Change fields of a method. Commercial users only, except what anyone may shape in custom01 and custom02."""
        command_id = command_id or uuid4()

        def decide(method: TrainingMethod | None) -> TrainingMethod:
            method = existing(method, internal_name)
            method.must_let_change(changes, by=by)  # before any value is judged
            spec = method.spec.with_changes(changes)
            method.modify(spec, by=by, command_id=command_id)
            self._must_be_trainable(spec)
            return method

        with self._refusals_recorded("modify", internal_name, by, command_id, changes):
            self._carry_out(TrainingMethod.create_id(internal_name), command_id, decide)
        return self.selectable_method(internal_name)

    def delete_method(
        self, internal_name: str, *, by: User, command_id: UUID | None = None, token: ActingToken | None = None
    ) -> list[UUID]:
        """Take a method out of the catalogue; ids of its waiting runs, which are cancelled. Commercial users only.

        A run that has started goes on.
        """
        command_id = command_id or uuid4()

        def decide(method: TrainingMethod | None) -> TrainingMethod:
            method = existing(method, internal_name)
            method.delete(by=by, command_id=command_id)
            return method

        with self._refusals_recorded("delete", internal_name, by, command_id, {}, token):
            self._carry_out(TrainingMethod.create_id(internal_name), command_id, decide, token)
        return self.cancel_waiting_runs(internal_name, by=by)

    def must_be_allowed(
        self, action: _Change, name: str, *, by: User, tried: Mapping[str, Any], token: ActingToken | None = None
    ) -> None:
        """Refuse, and record, what this user may not do whatever the values are that nobody has judged yet."""
        with self._refusals_recorded(action, name, by, uuid4(), tried, token):
            if action == "add":
                by.must_be_commercial(to="add a training method")
            elif method := self._method(name):
                method.must_let_change(tried, by=by)

    @contextmanager
    def rights_before_values(
        self, action: _Change, name: str, *, by: User, tried: Mapping[str, Any], token: ActingToken | None = None
    ) -> Iterator[None]:
        """Judge the values of a command inside: what is wrong with them is told to those only who may give it."""
        try:
            yield
        except Refused:
            raise
        except Exception:
            self.must_be_allowed(action, name, by=by, tried=tried, token=token)
            raise

    # Commands on runs.

    def request_run(
        self,
        run_id: UUID,
        request: RunRequest,
        *,
        by: User,
        command_id: UUID | None = None,
        token: ActingToken | None = None,
    ) -> TrainingRun:
        """Ask for a training. Idempotent by run id; the same id with another request is refused."""
        command_id = command_id or uuid4()

        def decide(run: TrainingRun | None) -> TrainingRun:
            if run is not None:
                run.must_be_asked_for_as(request)
                return run
            return TrainingRun.ask_for(run_id, request, by=by, command_id=command_id)

        tried = request.model_dump(mode="json")
        with self._refusals_recorded("request", request.method, by, command_id, tried, token):
            if self._run(run_id) is None:
                self._options_for(request)
            try:
                return self._carry_out(run_id, command_id, decide, token)
            except TokenDoesNotHold:
                # Whoever noticed the waiting run may have requested it this very moment, with the same token.
                run, used = self._run(run_id), self._use_of(token) if token is not None else None
                if run is None or used is None or used.led_to != run_id:
                    raise
                return decide(run)

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
        measured: bool = True,
        by: User,
        command_id: UUID | None = None,
    ) -> None:
        """Record a run's good end: its artefact's address and sha256, and the same evaluation before and after.

        Where it was not `measured`, `after` is empty, and `measure_run` may follow.
        """
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
                measured=measured,
                by=by,
                command_id=command_id,
            ),
        )

    def must_lack_measures(self, run_id: UUID) -> None:
        """Raise `NothingToMeasure` unless this run has completed without being measured, or `RunNotFound`."""
        self._existing_run(run_id).must_lack_measures()

    def measure_run(
        self,
        run_id: UUID,
        *,
        before: Mapping[str, float],
        after: Mapping[str, float],
        by: User,
        command_id: UUID | None = None,
    ) -> None:
        """Record what a run that completed unmeasured was measured at since."""
        command_id = command_id or uuid4()
        self._change_run(
            run_id,
            command_id,
            lambda run: run.measure(before=dict(before), after=dict(after), by=by, command_id=command_id),
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
            # Whoever wanted to start it may have cancelled it first; one that cannot be read is left as it is.
            with suppress(RunAlreadyFinished, EventUnreadable):
                self.cancel_run(
                    run.run_id, f"The training method {internal_name!r} was deleted before the run started.", by=by
                )
        return [run.run_id for run in waiting]

    # How commands are carried out.

    def _carry_out(
        self,
        aggregate_id: UUID,
        command_id: UUID,
        decide: Callable[[Any], A],
        token: ActingToken | None = None,
    ) -> A:
        """Decide on the present state and append; decide again when somebody else came first.

        An `IntegrityError` may also be the echo of our own append whose acknowledgement was lost: then the stream
        holds an event with our command id, and the command is done. Or another flow run spent the token.
        """
        for _ in range(_ATTEMPTS):
            history = self._history(aggregate_id)
            if any(event.command_id == command_id for event in history):
                self._catch_up_after_append()
                return cast(A, fold(history))
            self._must_be_unused(token)
            aggregate = decide(fold(history))
            if not aggregate.pending_events:
                return aggregate
            spent = token.used(command_id=command_id, led_to=aggregate_id) if token else None
            try:
                self.save(spent, aggregate)
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

    def record_refused(
        self, refusal: Refused, *, action: str, name: object, tried: Mapping[str, Any], by: User
    ) -> None:
        """Record an attempt that was refused before it came to its command."""
        with suppress(Refused), self._refusals_recorded(action, name, by, uuid4(), tried):
            raise refusal

    @contextmanager
    def _refusals_recorded(
        self,
        action: str,
        name: object,
        by: User,
        command_id: UUID,
        tried: Mapping[str, Any],
        token: ActingToken | None = None,
    ) -> Iterator[None]:
        try:
            yield
        except Refused as refusal:
            holds = token is not None and not isinstance(refusal, TokenDoesNotHold)
            refused = ActionRefused.happened(
                action=action,
                subject=name,
                reason=str(refusal),
                tried=tried,
                by=by if holds or token is None else token.brought_by,
                command_id=command_id,
            )
            if token is None or not holds:
                self._record_event(refused)
                raise
            try:
                self.save(token.used(command_id=command_id, led_to=refused.originator_id), refused)
            except IntegrityError:
                used = self._use_of(token)
                if used is None or used.led_to != refused.originator_id:  # else the acknowledgement was lost
                    with self._refusals_recorded(action, name, by, uuid4(), tried, token):
                        self._must_be_unused(token)
                    raise
            self._catch_up_after_append()
            raise

    def _must_be_trainable(self, spec: MethodSpec) -> None:
        """Raise `InvalidMethod` unless the spec's trainer allows it, and its own code was checked."""
        trainer_of(spec, self._trainers).must_allow(spec)
        if spec.code is not None:
            history = self._history(TrainingMethod.create_id(spec.internal_name))
            # What the method trained with before was let in then; it may be put back.
            known = [event.spec.code for event in history if isinstance(event, _GIVES_A_SPEC)]
            if spec.code not in known:
                self._code.must_be_checked(spec.code)

    def _did(self, aggregate_id: UUID, command_id: UUID) -> bool:
        return any(event.command_id == command_id for event in self._history(aggregate_id))

    def _existing_run(self, run_id: UUID) -> TrainingRun:
        run = self._run(run_id)
        if run is None:
            raise RunNotFound(run_id)
        return run


def _busy(aggregate_id: UUID) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"Others kept changing {aggregate_id} at the same moment, {_ATTEMPTS} times in a row. "
        "Nothing was changed; try again."
    )
