"""The records of trainings: what was asked for, how it went, and how it ended."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import cast
from uuid import UUID, uuid4

from eventsourcing.persistence import IntegrityError

from domain.audit.commands import ATTEMPTS, Commands, busy, existing
from domain.audit.event_log import EventLog, folded
from domain.audit.read_models import Run
from domain.catalogue.method_spec import MethodSpec
from domain.catalogue.options import OptionValue, options_after_defaults
from domain.catalogue.trainer_declaration import Trainers, trainer_of
from domain.catalogue.training_method import TrainingMethod
from domain.errors import (
    EventUnreadable,
    MethodNotSelectable,
    RunAlreadyFinished,
    RunNotFound,
    TokenDoesNotHold,
)
from domain.events import DomainEvent
from domain.people.acting import ActingToken
from domain.people.users import User
from domain.runs.training_run import Provenance, RunRequest, RunStatus, TrainingRun


class TrainingRuns:
    """Records and shows training runs. Every query first catches the views up, so they are never stale.

    How a run goes is recorded as done by whoever asked for it, a cancellation by whoever gave it up.
    """

    def __init__(self, log: EventLog, *, trainers: Trainers) -> None:
        self._log = log
        self._trainers = trainers
        self._commands = Commands(log)

    # Queries.

    def all(
        self,
        *,
        method: str | None = None,
        method_version: int | None = None,
        status: RunStatus | None = None,
        requested_by: str | None = None,
        interrupted: bool = False,
        after: UUID | None = None,
        limit: int = 100,
    ) -> list[Run]:
        """Training runs, the newest first; those that may be resumed, or behind the run `after`."""
        self._log.catch_up()
        if method is not None and not MethodSpec.is_a_name(method):
            return []
        return self._log.views.training_runs(
            method=method,
            method_version=method_version,
            status=status,
            requested_by=requested_by,
            interrupted=interrupted,
            after=after,
            limit=limit,
        )

    def one(self, run_id: UUID) -> Run:
        """One training run. Raises `RunNotFound`."""
        self._log.catch_up()
        run = self._log.views.training_run(run_id)
        if run is None:
            raise RunNotFound(run_id)
        return run

    def method_of(self, run_id: UUID) -> MethodSpec:
        """The method of a run that has started, as it was at that moment, whatever became of it since."""
        run = self.one(run_id)
        history = self._log.history(TrainingMethod.create_id(run.request.method))
        return existing(cast(TrainingMethod | None, folded(history[: run.method_version])), run.request.method).spec

    def options_of(self, request: RunRequest) -> dict[str, OptionValue]:
        """The options that a run of this request would have now, after the defaults of its method and its trainer."""
        return self._options_for(request)[1]

    # Commands.

    def request(
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
        with self._commands.refusals_recorded("request", request.method, by, command_id, tried, token):
            if self._commands.run(run_id) is None:
                self._options_for(request)
            try:
                return self._commands.carry_out(run_id, command_id, decide, token)
            except TokenDoesNotHold:
                # Whoever noticed the waiting run may have requested it this very moment, with the same token.
                run = self._commands.run(run_id)
                if run is None or token is None or not self._commands.led_to(token, run_id):
                    raise
                return decide(run)

    def start(self, run_id: UUID, provenance: Provenance, *, command_id: UUID | None = None) -> dict[str, OptionValue]:
        """Record that a worker begins; the run's options after defaults.

        The method must be selectable at this very moment: the event is appended only if the method's stream has not
        moved since it was looked at, so a deletion and a start fall into one truthful order. A run whose method is
        gone is cancelled with that reason, by whoever changed the method.
        """
        command_id = command_id or uuid4()
        options: dict[str, OptionValue] = {}
        for _ in range(ATTEMPTS):
            run = self._commands.existing_run(run_id)
            try:
                method, options = self._options_for(run.request)
            except MethodNotSelectable as error:
                with suppress(RunAlreadyFinished):  # whoever deleted the method may have cancelled it first
                    self.cancel(run_id, str(error), by=self._who_changed(run.request.method))
                raise
            if run.status is RunStatus.RUNNING and self._commands.did(run_id, command_id):
                return options
            if method.spec.code is not None:
                provenance = provenance.model_copy(update={"code_hash": method.spec.code.hash})
            run.start(method_version=method.version, options=options, provenance=provenance, command_id=command_id)
            try:
                self._log.save(run, unchanged={method.id: method.version})
            except IntegrityError:
                continue
            self._log.catch_up_after_append()
            return options
        raise busy(run_id)

    def complete(
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
        command_id: UUID | None = None,
    ) -> None:
        """Record a run's good end: its artefact's address and sha256, and the same evaluation before and after.

        Where it was not `measured`, `after` is empty, and `measure` may follow.
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
                command_id=command_id,
            ),
        )

    def must_lack_measures(self, run_id: UUID) -> None:
        """Raise `NothingToMeasure` unless this run has completed without being measured, or `RunNotFound`."""
        self._commands.existing_run(run_id).must_lack_measures()

    def measure(
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

    def fail(self, run_id: UUID, reason: str, *, interrupted: bool = False, command_id: UUID | None = None) -> None:
        """Record a run's bad end and why; one that was `interrupted` may be resumed."""
        command_id = command_id or uuid4()
        self._change_run(
            run_id, command_id, lambda run: run.fail(reason, interrupted=interrupted, command_id=command_id)
        )

    def resume(self, run_id: UUID, step: int, *, command_id: UUID | None = None) -> None:
        """Record that an interrupted run goes on from the checkpoint of this step."""
        command_id = command_id or uuid4()
        self._change_run(run_id, command_id, lambda run: run.resume(step=step, command_id=command_id))

    def cancel(self, run_id: UUID, reason: str, *, by: User, command_id: UUID | None = None) -> None:
        """Record that a run was given up and why."""
        command_id = command_id or uuid4()
        self._change_run(run_id, command_id, lambda run: run.cancel(reason, by=by, command_id=command_id))

    def cancel_waiting(self, internal_name: str, *, by: User) -> list[UUID]:
        """Cancel the runs of a method that have not started; their ids."""
        waiting = self.all(method=internal_name, status=RunStatus.REQUESTED, limit=10_000)
        for run in waiting:
            # Whoever wanted to start it may have cancelled it first; one that cannot be read is left as it is.
            with suppress(RunAlreadyFinished, EventUnreadable):
                self.cancel(
                    run.run_id, f"The training method {internal_name!r} was deleted before the run started.", by=by
                )
        return [run.run_id for run in waiting]

    def _who_changed(self, internal_name: str) -> User:
        newest: DomainEvent = self._log.history(TrainingMethod.create_id(internal_name))[-1]
        return newest.by

    def _change_run(self, run_id: UUID, command_id: UUID, change: Callable[[TrainingRun], None]) -> None:
        def decide(run: TrainingRun | None) -> TrainingRun:
            if run is None:
                raise RunNotFound(run_id)
            change(run)
            return run

        self._commands.carry_out(run_id, command_id, decide)

    def _options_for(self, request: RunRequest) -> tuple[TrainingMethod, dict[str, OptionValue]]:
        """The method as it is now, and the options after its defaults. Raises what makes the request impossible."""
        method = self._commands.existing_method(request.method)
        method.must_be_selectable(to="train with it")
        if request.backend not in method.spec.backends:
            raise MethodNotSelectable(
                f"The training method {request.method!r} does not run on {request.backend}; "
                f"it runs on {', '.join(method.spec.backends)}."
            )
        offered = options_after_defaults(method.spec.configuration_options, request.options)
        declared = {option.name: option.default for option in trainer_of(method.spec, self._trainers).options}
        return method, declared | offered
