"""`train`: carries one training run from its request to its artefact, on whichever pool picked it up."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import Pause
from prefect.flows import Flow
from prefect.states import Cancelled, Crashed

from adapters.prefect.progress import ToldToPrefect
from adapters.shared.training.curve import curve_svg
from domain.bounded import bounded
from domain.errors import MachineMissing, MethodNotSelectable, RunAlreadyFinished, RunNotFound, TrainingMethodError
from domain.printable import printable
from domain.runs.flow_runs import CANCELLED, ENDED, SUSPENDED, with_prefects_words
from domain.runs.training_run import RunStatus
from flows.acting import ending_in_words, installation_of_this_run, this_attempt, this_run
from infra.trainings.training_session import TrainingSession, recorded_session
from infra.wiring import Installation


def record_cancellation(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001 -- a hook's shape
    """A cancelled flow run is a cancelled training run."""
    # The state that hooks are given is made up by the worker; the flow run's own has the words of who cancelled.
    reason = with_prefects_words(CANCELLED, flow_run.state.message if flow_run.state else None)
    with Installation.for_flow(flow_run.id) as installation, suppress(RunNotFound, RunAlreadyFinished):
        installation.trainings.cancel(flow_run.id, reason, by=installation.user())


def record_crash(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001 -- a hook's shape
    """A flow run whose process is gone is a failed training run, which may be resumed."""
    reason = with_prefects_words(ENDED, state.message)
    with Installation.for_flow(flow_run.id) as installation, suppress(RunNotFound, RunAlreadyFinished):
        installation.trainings.fail(flow_run.id, reason, interrupted=True)


@flow(
    name="train",
    flow_run_name="{method} on {backend}",
    on_cancellation=[record_cancellation],
    on_crashed=[record_crash],
    validate_parameters=False,  # the request validates its own fields, and says what is wrong in its own words
)
@ending_in_words
def train(
    method: str,
    backend: str,
    base_model: str,
    dataset: str,
    options: dict[str, Any] | None = None,
    seed: int = 0,
    output_name: str = "",
    columns: str = "",
    measure: bool = True,
    acting_for: str = "",
) -> State[Any] | None:
    """Train with a method on a base model and a dataset."""
    asked = {
        "method": method,
        "backend": backend,
        "base_model": base_model,
        "dataset": dataset,
        "options": options or {},
        "seed": seed,
        "output_name": output_name,
        "columns": columns,
        "measure": measure,
    }
    with installation_of_this_run() as installation, _told(method, backend) as told:
        try:
            with recorded_session(
                installation, this_run(), asked, told, attempt=this_attempt(), acting_for=acting_for
            ) as session:
                prepare(session)
                measure_before(session)
                fit(session)
                measure_after(session)
                publish(session)
        except (MethodNotSelectable, RunAlreadyFinished) as given_up:
            return _cancelled(installation, given_up)
        except Pause:
            with suppress(RunNotFound, RunAlreadyFinished):
                _interrupted(installation)
            raise
        except MachineMissing as missing:
            return Crashed(message=str(missing))
    return None


@task(cache_policy=NO_CACHE)
def prepare(session: TrainingSession) -> None:
    """Open the base model and the dataset, and record the start."""
    job = session.start()
    logger = get_run_logger()
    for warning in session.plan.warnings:
        logger.warning(warning)
    logger.info("Training %s with %s on %s", job.base_model, job.method, job.device)


@task(cache_policy=NO_CACHE)
def measure_before(session: TrainingSession) -> None:
    """Measure the base model on the held-out rows."""
    get_run_logger().info("Before: %s", _figures(session.measure_before()))


@task(cache_policy=NO_CACHE)
def fit(session: TrainingSession) -> None:
    """Let the trainer train."""
    session.fit()


@task(cache_policy=NO_CACHE)
def measure_after(session: TrainingSession) -> None:
    """Measure the result on the held-out rows, the same way."""
    figures = _figures(session.measure_after())
    if session.unmeasured:
        get_run_logger().warning("The result is stored without being measured. %s", session.unmeasured)
    else:
        get_run_logger().info("After: %s", figures)


@task(cache_policy=NO_CACHE)
def publish(session: TrainingSession) -> None:
    """Store the artefact and record the completion."""
    get_run_logger().info("Stored as %s", session.complete())


def _interrupted(installation: Installation) -> None:
    """A run that is suspended goes on when it is resumed; one that had not started then starts."""
    if installation.trainings.one(this_run()).status is RunStatus.RUNNING:
        installation.trainings.fail(this_run(), SUSPENDED, interrupted=True)


def _told(method: object, backend: object) -> ToldToPrefect:
    title = " on ".join(printable(str(bounded(part)), at_most=100) for part in (method, backend))
    return ToldToPrefect(this_run(), title=title, draw=curve_svg)


def _cancelled(installation: Installation, given_up: TrainingMethodError) -> State[Any]:
    """Prefect shows what the event store says of a run that was given up, whoever heard of it first: cancelled."""
    with suppress(RunNotFound):
        if (run := installation.trainings.one(this_run())).status is RunStatus.CANCELLED:
            return Cancelled(message=run.reason)
    raise given_up


def _figures(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
