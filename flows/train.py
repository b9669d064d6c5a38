"""`train`: carries one training run from its request to its artefact, on whichever pool picked it up."""

from collections.abc import Mapping
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow

from adapters.prefect.progress import ProgressArtifact
from domain.training_run import RunRequest
from flows.acting import installation_of_this_run
from infra.training_session import TrainingSession
from infra.wiring import Installation


def record_cancellation(_: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """A cancelled flow run is a cancelled training run."""
    with Installation.for_flow(flow_run.id) as installation:
        installation.service.cancel_run(flow_run.id, state.message or "Cancelled in Prefect.", by=installation.user())


def record_crash(_: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """A flow run whose process is gone is a failed training run."""
    with Installation.for_flow(flow_run.id) as installation:
        installation.service.fail_run(
            flow_run.id, state.message or "Its process ended.", interrupted=True, by=installation.user()
        )


@flow(
    name="train",
    flow_run_name="{method} on {backend}",
    on_cancellation=[record_cancellation],
    on_crashed=[record_crash],
    validate_parameters=False,  # the request validates its own fields, and says what is wrong in its own words
)
def train(
    method: str,
    backend: str,
    base_model: str,
    dataset: str,
    options: dict[str, Any] | None = None,
    seed: int = 0,
    output_name: str = "",
) -> None:
    """Train with a method on a base model and a dataset."""
    asked = {
        "method": method,
        "backend": backend,
        "base_model": base_model,
        "dataset": dataset,
        "options": options or {},
        "seed": seed,
        "output_name": output_name,
    }
    with installation_of_this_run() as installation:
        session = installation.training_session(RunRequest.parse(asked))
        with session.failure_recorded():
            prepare(session)
            measure_before(session)
            fit(session)
            measure_after(session)
            publish(session)


@task(cache_policy=NO_CACHE)
def prepare(session: TrainingSession) -> None:
    """Open the base model and the dataset, and record the start."""
    job = session.start()
    get_run_logger().info("Training %s with %s on %s", job.base_model, job.method, job.device)


@task(cache_policy=NO_CACHE)
def measure_before(session: TrainingSession) -> None:
    """Measure the base model on the held-out rows."""
    get_run_logger().info("Before: %s", _figures(session.measure_before()))


@task(cache_policy=NO_CACHE)
def fit(session: TrainingSession) -> None:
    """Let the trainer train."""
    session.fit(ProgressArtifact(session.run_id))


@task(cache_policy=NO_CACHE)
def measure_after(session: TrainingSession) -> None:
    """Measure the result on the held-out rows, the same way."""
    get_run_logger().info("After: %s", _figures(session.measure_after()))


@task(cache_policy=NO_CACHE)
def publish(session: TrainingSession) -> None:
    """Store the artefact and record the completion."""
    get_run_logger().info("Stored as %s", session.complete())


def _figures(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
