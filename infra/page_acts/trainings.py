"""Acts on trainings."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from adapters.prefect.progress import progress_line
from adapters.shared.training_progress import METRICS_FILE, numbers_of
from domain.audit.read_models import Run
from domain.catalogue.method_spec import Backend
from domain.catalogue.options import options_after_defaults
from domain.errors import (
    MethodNotSelectable,
    NotFound,
    RunAlreadyFinished,
    RunNotFound,
    TrainingMethodError,
    Unreachable,
)
from domain.people.users import User
from domain.ports import Progressed
from domain.runs.flow_runs import Queue
from domain.runs.run_plan import RunPlan
from domain.runs.training_run import RunRequest, RunStatus
from domain.use_cases.trainings import (
    Backends,
    CancelRun,
    DryRun,
    ListRuns,
    RerunRun,
    ResumeRun,
    RunsPage,
    ShownRun,
    ShowRun,
    Started,
    StartTraining,
)
from infra.page_acts.lines_told import LinesTold
from infra.page_acts.rights import must_be_ones_own_run
from infra.wiring import Installation

_LOG_LINES = 40
_LOG_EVERY_S = 2.0
_LOGS_KEPT = 200
_told = LinesTold()

_ENDED_IN_PREFECT = ("Completed", "Failed", "Crashed", "Cancelled")
_OF_NO_MEASURE = ("step", "total")


def dry_run(tmm: Installation, act: DryRun, _: User) -> RunPlan:
    _must_run_on(tmm, act.request)
    return tmm.plan(tmm.checked(act.request))


def start(tmm: Installation, act: StartTraining, by: User) -> Started:
    return _start(tmm, act.request, act.queue, act.idempotency_key or str(uuid4()), by)


def _start(tmm: Installation, asked: RunRequest, queue: Queue, key: str, by: User) -> Started:
    _must_run_on(tmm, asked)
    request = tmm.checked(asked)
    run_id = tmm.runs.create(request, queue=queue, idempotency_key=key)
    with suppress(RunNotFound):  # sent twice: it was requested and released then
        tmm.service.training_run(run_id)
        return Started(run_id=run_id, address=tmm.runs.address(run_id))
    requested = False
    try:
        tmm.service.request_run(run_id, request, by=by)
        requested = True
        tmm.runs.release(run_id)
    except BaseException as error:
        reason = f"The run was not released: {error or type(error).__name__}"
        with suppress(TrainingMethodError):
            tmm.runs.cancel(run_id, reason)
        if requested:
            tmm.service.cancel_run(run_id, reason, by=by)
        raise
    return Started(run_id=run_id, address=tmm.runs.address(run_id), remarks=tuple(_awaited(tmm, request, queue)))


def _must_run_on(tmm: Installation, request: RunRequest) -> None:
    spec = tmm.service.selectable_method(request.method).spec
    if request.backend not in spec.backends:
        raise MethodNotSelectable(
            f"The training method {request.method!r} does not run on {request.backend}; "
            f"it runs on {', '.join(spec.backends)}."
        )


def _awaited(tmm: Installation, request: RunRequest, queue: Queue) -> Iterator[str]:
    for name in (None, queue.value):
        if tmm.pools.is_paused(request.backend, name):
            paused = f"The queue {name} of {request.backend}" if name else f"The pool {request.backend}"
            yield f"{paused} is paused: the run waits until an operator resumes it."


def list_runs(tmm: Installation, act: ListRuns, _: User) -> RunsPage:
    query = act.query
    found = tmm.service.training_runs(
        method=query.method,
        status=query.status,
        requested_by=query.requested_by,
        after=query.after,
        limit=query.limit + 1,
    )
    runs = tuple(found[: query.limit])
    return RunsPage(runs=runs, next_after=runs[-1].run_id if len(found) > query.limit else None)


def show_run(tmm: Installation, act: ShowRun, _: User) -> ShownRun:
    run = tmm.service.training_run(act.run_id)
    under_way = run.finished_at is None
    told = _told.lines(tmm.settings.runs / str(run.run_id) / METRICS_FILE) if under_way else []
    steps = [numbers_of(line) for line in told] if told else tmm.steps_of(run)
    shown: dict[str, Any] = {"run": run, "steps": tuple(steps)}
    if act.in_full or under_way:
        shown["log"] = _log(tmm, run.run_id)
    if run.status is RunStatus.RUNNING:
        shown["progress"] = _progress(tmm, run.run_id, told)
    if act.in_full:
        with suppress(Unreachable):
            shown["address"] = tmm.runs.address(run.run_id)
        shown["answers"] = tuple(tmm.answers_of(run))
        shown["files"] = tuple(_files_of(tmm, run))
    return ShownRun(**shown)


def _progress(tmm: Installation, run_id: UUID, told: Sequence[Mapping[str, Any]]) -> Progressed | None:
    """What the metrics file on this machine tells at once; beside steps, and from elsewhere, what Prefect was told."""
    if told and told[-1]["step"] < told[-1]["total"]:
        first, last = told[0], told[-1]
        passed = (datetime.fromisoformat(last["at"]) - datetime.fromisoformat(first["at"])).total_seconds()
        steps, total = last["step"] - first["step"], last["total"]
        left = passed / steps * (total - last["step"]) if steps else None
        metrics = {name: value for name, value in numbers_of(last).items() if name not in _OF_NO_MEASURE}
        return Progressed(share=last["step"] / total, line=progress_line(last["step"], total, metrics, left))
    with suppress(Unreachable, NotFound):
        return tmm.runs.progress(run_id)
    return None


_logs: dict[UUID, tuple[float, tuple[str, ...]]] = {}


def _log(tmm: Installation, run_id: UUID) -> tuple[str, ...]:
    """The newest lines of its log. Prefect, which has them, is not asked more often than every few seconds."""
    asked, lines = _logs.get(run_id, (-_LOG_EVERY_S, ()))
    if time.monotonic() - asked >= _LOG_EVERY_S:
        with suppress(Unreachable, NotFound):
            lines = tuple(tmm.runs.log(run_id, limit=_LOG_LINES))
        if len(_logs) > _LOGS_KEPT:
            _logs.clear()
        _logs[run_id] = (time.monotonic(), lines)
    return lines


def _files_of(tmm: Installation, run: Run) -> list[tuple[str, int]]:
    if run.artifact is None or "://" in run.artifact:
        return []
    try:
        folder = tmm.artifacts.fetch(run.artifact)
    except NotFound:
        return []
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return [(file.relative_to(folder).as_posix(), file.stat().st_size) for file in files]


def cancel(tmm: Installation, act: CancelRun, by: User) -> None:
    run = tmm.service.training_run(act.run_id)
    must_be_ones_own_run(tmm, by, run, action="cancel")
    if run.finished_at is not None and not _waits_to_go_on(tmm, run):
        how = "been cancelled" if run.status is RunStatus.CANCELLED else run.status.value
        raise RunAlreadyFinished(f"Training run {run.run_id} has {how}; there is nothing to cancel.")
    if run.status is RunStatus.RUNNING:
        with suppress(RunNotFound):  # then nobody carries it any more
            tmm.runs.cancel(run.run_id, act.reason)
        tmm.service.cancel_run(run.run_id, act.reason, by=by)
        return
    # The event store decides: once the cancellation is there, no worker can start the run any more.
    tmm.service.cancel_run(run.run_id, act.reason, by=by)
    with suppress(RunNotFound, Unreachable):
        tmm.runs.cancel(run.run_id, act.reason)


def _waits_to_go_on(tmm: Installation, run: Run) -> bool:
    try:
        return bool(run.interrupted) and tmm.runs.state(run.run_id) not in _ENDED_IN_PREFECT
    except (RunNotFound, Unreachable):
        return False


def resume(tmm: Installation, act: ResumeRun, by: User) -> None:
    run = tmm.service.training_run(act.run_id)
    must_be_ones_own_run(tmm, by, run, action="resume")
    if run.finished_at is None:
        raise RunAlreadyFinished(f"Training run {run.run_id} is {run.status}; there is nothing to resume.")
    if not run.resumable:
        raise RunAlreadyFinished(
            f"Training run {run.run_id} was not interrupted on its way. "
            f"Repeat it as a new run with: tmm rerun {run.run_id}"
        )
    tmm.runs.take_again(run.run_id)


def rerun(tmm: Installation, act: RerunRun, by: User) -> Started:
    then = tmm.service.training_run(act.run_id)
    offered = tmm.service.selectable_method(then.request.method).spec.configuration_options
    names = {option.name for option in offered}
    options = {name: value for name, value in (then.options or then.request.options).items() if name in names}
    options_after_defaults(offered, options)
    request = then.request.model_copy(update={"options": options})
    return _start(tmm, request, Queue.INTERACTIVE, str(uuid4()), by)


def backends(tmm: Installation, _: Backends, __: User) -> Sequence[Backend]:
    return tmm.settings.backends


HANDLERS: dict[type, Callable[..., Any]] = {
    DryRun: dry_run,
    StartTraining: start,
    ListRuns: list_runs,
    ShowRun: show_run,
    CancelRun: cancel,
    ResumeRun: resume,
    RerunRun: rerun,
    Backends: backends,
}
