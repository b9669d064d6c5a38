"""The worker that starts this service's own flows alone, whatever Prefect's records say."""

import abc
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self
from uuid import UUID

import anyio
import anyio.abc
import anyio.to_thread
from prefect.settings import get_current_settings
from prefect.states import Failed
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from adapters.prefect.deployments import OurFlow
from adapters.prefect.worker.admission import streams_output, subject, why_not_ours
from domain.errors import FlowRunNotOurs

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun, WorkPool
    from prefect.client.schemas.responses import DeploymentResponse

ENGINE = "adapters.prefect.worker.engine"

Record = Callable[[UUID, str, FlowRunNotOurs], None]
"""Puts into the audit log that a flow run was refused: its id, what was to be started, and the refusal."""


class Start(Protocol):
    """A way for a run to get its process."""

    async def run(
        self,
        flow_run: "FlowRun",
        entrypoint: str,
        environment: Mapping[str, str],
        *,
        stream_output: bool,
        task_status: anyio.abc.TaskStatus[int],
    ) -> ProcessWorkerResult:
        """Run the flow at the entrypoint in this environment, tell its process id, and return when it has ended."""
        ...


class OurConfiguration(ProcessJobConfiguration):
    """What Prefect would have taken from pool, deployment and run: nothing, however these are made up."""

    @classmethod
    async def resolve_for_flow_run(
        cls,
        flow_run: "FlowRun",
        *,
        client: "PrefectClient",  # noqa: ARG003 -- nothing is asked
        work_pool: "WorkPool",
        worker_name: str,
        worker_id: UUID | None = None,
        deployment: "DeploymentResponse | None" = None,  # noqa: ARG003 -- nothing is taken
    ) -> Self:
        """Prefect's defaults. What else there is, the worker decides."""
        configuration = cls()
        configuration.prepare_for_flow_run(flow_run, work_pool=work_pool, worker_name=worker_name, worker_id=worker_id)
        return configuration


class OurWorker(ProcessWorker, abc.ABC):
    """Serves a process pool; `abc.ABC` keeps it from replacing Prefect's own worker in Prefect's registry."""

    job_configuration = OurConfiguration

    def __init__(
        self, *args: Any, flows: Mapping[str, OurFlow], start: Start, record_refused: Record, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._flows = flows
        self._start = start
        self._record_refused = record_refused

    async def run(
        self,
        flow_run: "FlowRun",
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Start the run if it is one of ours, as its deployment stands now; else end it, with the reason."""
        status = task_status if task_status is not None else anyio.TASK_STATUS_IGNORED
        flow = (await self.client.read_flow(flow_run.flow_id)).name
        deployment = None
        if flow_run.deployment_id is not None:
            deployment = await self.client.read_deployment(flow_run.deployment_id)
        if (reason := why_not_ours(flow, deployment, flow_run, self._flows)) is not None:
            await self._refuse(flow_run, subject(flow, deployment, self._flows), FlowRunNotOurs(reason))
            status.started(0)  # Prefect takes that for nothing started
            return ProcessWorkerResult(status_code=0, identifier="refused")
        return await self._start.run(
            flow_run,
            self._flows[flow].entrypoint,
            _environment(flow_run),
            stream_output=streams_output(deployment, flow_run),
            task_status=status,
        )

    async def _refuse(self, flow_run: "FlowRun", what: str, refusal: FlowRunNotOurs) -> None:
        logger = self.get_flow_run_logger(flow_run)
        logger.error(str(refusal))
        try:
            await anyio.to_thread.run_sync(self._record_refused, flow_run.id, what, refusal)
        except Exception:  # without the database, too, it does not run
            logger.exception("It could not be recorded that this flow run was refused.")
        # By force: a state that is merely proposed may come back as another attempt.
        await self.client.set_flow_run_state(flow_run.id, Failed(message=str(refusal)), force=True)


def _environment(flow_run: "FlowRun") -> dict[str, str]:
    """This worker's own environment, and the flow run's id. Nothing of what anybody wrote into Prefect."""
    return {
        **os.environ,
        **get_current_settings().to_environment_variables(exclude_unset=True),
        "PREFECT__FLOW_RUN_ID": str(flow_run.id),
    }
