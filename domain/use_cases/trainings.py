"""The acts on trainings: look before, start, repeat, cancel, let go on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol
from uuid import UUID, uuid4

from domain.audit.read_models import Run
from domain.catalogue.catalogue import Catalogue
from domain.catalogue.method_spec import Backend, MethodSpec
from domain.catalogue.options import options_after_defaults
from domain.errors import (
    MethodNotSelectable,
    Remedy,
    RunAlreadyFinished,
    RunNotFound,
    TrainingMethodError,
    Unreachable,
)
from domain.people.users import User
from domain.ports import WorkPool
from domain.runs.comparison import Difference, changed_since
from domain.runs.flow_runs import ENDED_STATES, FlowRuns, Queue
from domain.runs.run_plan import RunPlan
from domain.runs.training_run import Provenance, RunRequest, RunStatus
from domain.runs.training_runs import TrainingRuns
from domain.use_cases.act import Act
from domain.use_cases.rights import Rights
from domain.values import Value


class Awaited(Value):
    """What a run waits for beside a free worker, in a sentence; a paused pool, or a queue of it, or more machines."""

    words: str
    backend: Backend
    queue: str | None = None
    is_paused: bool = False


class Started(Value):
    """A run that was requested and released. `awaited` is what it waits for beside a free worker."""

    run_id: UUID
    address: str
    awaited: tuple[Awaited, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What it waits for, in sentences."""
        return tuple(awaited.words for awaited in self.awaited)


class Cancelled(Value):
    """A run that was given up. `stops` while its worker has yet to stop; `remark` says what lags behind."""

    run_id: UUID
    stops: bool
    remark: str | None = None


class DryRun(Act[RunPlan]):
    """What a training would do and take; nothing is started."""

    request: RunRequest


class StartTraining(Act[Started]):
    """Request a training and let a worker take it."""

    request: RunRequest
    queue: Queue = Queue.INTERACTIVE
    idempotency_key: str | None = None


class CancelRun(Act[Cancelled]):
    """Give a run up. One that waits never starts; one that runs is stopped by its worker."""

    run_id: UUID
    reason: str


class ResumeRun(Act[Run]):
    """Let an interrupted run go on from its newest checkpoint; the run as it had ended."""

    run_id: UUID


class WhatChangedSince(Act[Sequence[Difference]]):
    """What is not any more as it was for a run, as far as it can be seen here: another machine may carry a new one."""

    run_id: UUID


class RerunRun(Act[Started]):
    """Repeat a run as a new one: same method, data, seed, and options as they were then."""

    run_id: UUID
    queue: Queue = Queue.INTERACTIVE


class Backends(Act[Sequence[Backend]]):
    """The backends of this installation, the one to suggest first."""


class Preflight(Protocol):
    """Looks at a training before it begins."""

    def checked(self, request: RunRequest) -> RunRequest:
        """The request as any worker can read it: local paths made absolute.

        Raises `InvalidInput` for what can already be seen to be wrong here, before anything is created.
        """
        ...

    def plan(self, request: RunRequest) -> RunPlan:
        """What a run of this request would do and take. Raises the error that says why it cannot go well."""
        ...

    def made_of(self, request: RunRequest) -> Provenance:
        """What a run of this request would be made of here and now, but for device and machine, which are empty."""
        ...


class Carriers(Protocol):
    """The processes that carry trainings on this machine."""

    def end_process(self, run_id: UUID) -> bool:
        """End the process that carries a run on this machine; False where there is none."""
        ...


class PausedPools(Protocol):
    """The work pools, as far as they make a run wait. Raises `PrefectUnavailable`."""

    def all(self) -> Sequence[WorkPool]: ...

    def is_paused(self, backend: Backend, queue: str | None = None) -> bool:
        """Whether nothing is taken from a pool, or from one of its queues, at present."""
        ...


class Trainings:
    """Does these acts. Prefect is asked for when it is first needed: much can be seen without it."""

    def __init__(
        self,
        runs: TrainingRuns,
        catalogue: Catalogue,
        preflight: Preflight,
        carriers: Carriers,
        rights: Rights,
        *,
        flow_runs: Callable[[], FlowRuns],
        pools: Callable[[], PausedPools],
        backends: Sequence[Backend],
    ) -> None:
        self._runs = runs
        self._catalogue = catalogue
        self._preflight = preflight
        self._carriers = carriers
        self._rights = rights
        self._flow_runs = flow_runs
        self._pools = pools
        self._backends = backends

    # Before.

    def backends(self, _: Backends, __: User, ___: UUID | None = None) -> Sequence[Backend]:
        """The backends of this installation."""
        return self._backends

    def dry_run(self, act: DryRun, _: User, __: UUID | None = None) -> RunPlan:
        """What a training would do and take."""
        _must_run_on(act.request.backend, self._catalogue.method(act.request.method).spec)
        return self._preflight.plan(self._preflight.checked(act.request))

    # Starting.

    def start(self, act: StartTraining, by: User, command_id: UUID | None = None) -> Started:
        """Request a training and let a worker take it. Who asked is recorded before any worker can start it.

        All that can be seen to be wrong is refused before anything is created, and nothing half-made is left behind.
        """
        _must_run_on(act.request.backend, self._catalogue.method(act.request.method).spec)
        request = self._preflight.checked(act.request)
        flow_runs = self._flow_runs()
        run_id = flow_runs.create(request, queue=act.queue, idempotency_key=act.idempotency_key or str(uuid4()))
        if act.idempotency_key is not None:
            with suppress(RunNotFound):  # sent twice: it was requested and released then
                self._runs.one(run_id)
                return Started(run_id=run_id, address=flow_runs.address(run_id))
        requested = False
        try:
            self._runs.request(run_id, request, by=by, command_id=command_id)
            requested = True
            flow_runs.release(run_id)
        except BaseException as error:
            reason = f"The run was not released: {error or type(error).__name__}"
            with suppress(TrainingMethodError):
                flow_runs.cancel(run_id, reason)
            if requested:
                self._runs.cancel(run_id, reason, by=by)
            raise
        awaited: tuple[Awaited, ...] = ()
        with suppress(Unreachable):  # it is released: what it waits for is told, if it can be
            awaited = tuple(self._awaited(request, act.queue))
        return Started(run_id=run_id, address=flow_runs.address(run_id), awaited=awaited)

    def _awaited(self, request: RunRequest, queue: Queue) -> Iterator[Awaited]:
        pools, backend = self._pools(), request.backend
        for name in (None, queue.value):
            if pools.is_paused(backend, name):
                paused = f"The queue {name} of the {backend} pool" if name else f"The {backend} pool"
                words = f"{paused} is paused: the run waits until it is resumed."
                yield Awaited(words=words, backend=backend, queue=name, is_paused=True)
        machines = int(self._runs.options_of(request).get("machines", 1))
        workers = sum(pool.workers for pool in pools.all() if pool.name == backend) if machines > 1 else 1
        if workers < machines:
            there = "is 1 worker" if workers == 1 else f"are {workers} workers"
            words = f"It is to be shared by {machines} machines, and there {there} of {backend} now."
            yield Awaited(words=words, backend=backend)

    def what_changed(self, act: WhatChangedSince, _: User, __: UUID | None = None) -> Sequence[Difference]:
        """What is not as it was: the method, its options, the base model, the rows, the code, the packages."""
        then = self._runs.one(act.run_id)
        request, changes = self._as_it_was(then), []
        version = self._catalogue.method(request.method).version
        if then.method_version not in (None, version):
            changes.append(Difference(name=f"version of {request.method}", one=then.method_version, other=version))
        if then.options is not None:
            now = self._runs.options_of(request)
            changes += [
                Difference(name=f"option {name}, which {request.method} does not offer", one=value, other=now[name])
                for name, value in then.options.items()
                if name in now and now[name] != value
            ]
        if then.provenance is not None:
            here = {"device": then.provenance.device, "machine": then.provenance.machine}
            made_of = self._preflight.made_of(request).model_copy(update=here)
            changes += changed_since(then.provenance, made_of)
        return changes

    def rerun(self, act: RerunRun, by: User, command_id: UUID | None = None) -> Started:
        """Repeat a run as a new one."""
        request = self._as_it_was(self._runs.one(act.run_id))
        return self.start(StartTraining(request=request, queue=act.queue), by, command_id)

    def _as_it_was(self, then: Run) -> RunRequest:
        """The request with the options as they were after defaults, as far as the method still offers them.

        Raises `InvalidConfigurationOptions` where a value of then is not allowed any more.
        """
        offered = self._catalogue.method(then.request.method).spec.configuration_options
        names = {option.name for option in offered}
        options = {name: value for name, value in (then.options or then.request.options).items() if name in names}
        options_after_defaults(offered, options)
        return then.request.model_copy(update={"options": options})

    # Ending, and going on.

    def cancel(self, act: CancelRun, by: User, command_id: UUID | None = None) -> Cancelled:
        """Give a run up. Its owner's, or an operator's, to do."""
        run = self._runs.one(act.run_id)
        self._must_own(run, by, to="cancel")
        if run.finished_at is not None and not self._waits_to_go_on(run):
            raise _nothing_to_cancel(run)
        # The event store decides, and before anybody else hears of it: once the cancellation is there, no worker can
        # start the run any more, and whoever sees it stop finds recorded who gave it up.
        try:
            self._runs.cancel(run.run_id, act.reason, by=by, command_id=command_id)
        except RunAlreadyFinished:
            raise _nothing_to_cancel(self._runs.one(run.run_id)) from None
        runs, remark = run.status is RunStatus.RUNNING, None
        try:
            self._flow_runs().cancel(run.run_id, act.reason)
            return Cancelled(run_id=run.run_id, stops=runs)
        except RunNotFound:
            pass  # somebody deleted it in Prefect, so that no worker hears of it there
        except Unreachable as error:
            remark = f"The run is cancelled, and Prefect still shows it as {'running' if runs else 'waiting'}. {error}"
        if runs and not self._carriers.end_process(run.run_id):
            why = remark or "Prefect does not know it any more."
            remark = f"{why} If it goes on on another machine, it ends there within seconds."
        return Cancelled(run_id=run.run_id, stops=False, remark=remark)

    def _waits_to_go_on(self, run: Run) -> bool:
        """Whether a run that was interrupted was resumed, and no worker has taken it yet."""
        try:
            return bool(run.interrupted) and self._flow_runs().state(run.run_id) not in ENDED_STATES
        except RunNotFound:
            return False

    def resume(self, act: ResumeRun, by: User, _: UUID | None = None) -> Run:
        """Let an interrupted run go on. Its owner's, or an operator's, to do."""
        run = self._runs.one(act.run_id)
        self._must_own(run, by, to="resume")
        if run.finished_at is None:
            raise RunAlreadyFinished(f"Training run {run.run_id} is {run.status}; there is nothing to resume.")
        if not run.resumable:
            raise RunAlreadyFinished(f"Training run {run.run_id} was not interrupted on its way.").but(
                Remedy("Repeat it as a new run", "RerunRun", {"run": str(run.run_id)})
            )
        self._flow_runs().take_again(run.run_id)
        return run

    def _must_own(self, run: Run, by: User, *, to: str) -> None:
        self._rights.must_own(
            run.requested_by, by=by, to=f"{to} the training run {run.run_id}", action=to, subject=str(run.run_id)
        )


def _must_run_on(backend: Backend, spec: MethodSpec) -> None:
    # The service says so too, but only after a flow run was made.
    if backend not in spec.backends:
        raise MethodNotSelectable(
            f"The training method {spec.internal_name!r} does not run on {backend}; "
            f"it runs on {', '.join(spec.backends)}."
        )


def _nothing_to_cancel(run: Run) -> RunAlreadyFinished:
    ended = "been cancelled" if run.status is RunStatus.CANCELLED else run.status.value
    return RunAlreadyFinished(f"Training run {run.run_id} has {ended}; there is nothing to cancel.")
