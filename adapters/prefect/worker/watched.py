"""Runs that are watched over as Prefect's own worker does it: cancelled at once, their hooks run, their end understood.

It leans on private parts of one version of Prefect (`compatibility.py`).
"""

import contextlib
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.abc
from prefect.runner._flow_run_executor import FlowRunExecutorContext
from prefect.runner._process_manager import ProcessHandle, create_isolated_termination_scope
from prefect.runner._starter_engine import EngineCommandStarter
from prefect.utilities.processutils import command_to_string
from prefect.workers.process import ProcessWorkerResult

from adapters.prefect.warm_worker.server_handle import ForkedProcess, ForkServer
from adapters.prefect.worker.hooks import Hooks
from adapters.prefect.worker.worker import ENGINE

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.runner._control_channel import ControlChannel


class Watched:
    """Gives a run a process that is forked from the fork server, or a fresh one where there is none to be had."""

    def __init__(self, fork_server: ForkServer | None) -> None:
        self._fork_server = fork_server

    async def run(
        self,
        flow_run: "FlowRun",
        entrypoint: str,
        environment: Mapping[str, str],
        *,
        stream_output: bool,
        task_status: anyio.abc.TaskStatus[int],
    ) -> ProcessWorkerResult:
        """Run the flow at the entrypoint to its end."""
        environment = {**environment, "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false"}
        execution = None
        async with contextlib.AsyncExitStack() as stack:
            forked = await self._forked(stream_output)
            if forked is not None:
                stack.enter_context(contextlib.closing(forked))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(suffix="prefect"))).resolve()
            context = await stack.enter_async_context(FlowRunExecutorContext())
            fresh = EngineCommandStarter(
                command=command_to_string([sys.executable, "-m", ENGINE, entrypoint]),
                cwd=folder,
                env={**environment},
                stream_output=stream_output,
                control_channel=context.control_channel,
            )
            executor = context.create_executor(
                flow_run,
                _ForkedEngine(forked, entrypoint, environment, folder, context.control_channel) if forked else fresh,
                propose_submitting=False,
                hook_runner=Hooks(self._fork_server, entrypoint, environment, folder),
            )

            async def execute(*, task_status: anyio.abc.TaskStatus[ProcessHandle]) -> None:
                nonlocal execution
                execution = await executor.submit(task_status=task_status)

            async with anyio.create_task_group() as tasks:
                handle = await tasks.start(execute)
                task_status.started(handle.pid)
        if execution is None or execution.status_code is None:
            raise RuntimeError("The flow run's process could not be started.")
        return ProcessWorkerResult(status_code=execution.status_code, identifier=str(execution.handle.pid))

    async def _forked(self, stream_output: bool) -> ForkedProcess | None:
        if self._fork_server is None:
            return None
        return await self._fork_server.fork(*((1, 2) if stream_output else (None, None)))


class _ForkedEngine:
    """What Prefect calls a starter: runs our engine in the forked process."""

    def __init__(
        self,
        process: ForkedProcess,
        entrypoint: str,
        environment: Mapping[str, str],
        folder: Path,
        channel: "ControlChannel",
    ) -> None:
        self._process = process
        self._entrypoint = entrypoint
        self._environment = environment
        self._folder = folder
        self._channel = channel

    async def start(
        self, flow_run: "FlowRun", task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Start the run, tell its handle, and return when its process has ended."""
        environment = dict(self._environment)
        with contextlib.suppress(RuntimeError):  # no port was free: then cancelling is a signal without the reason
            port, token = self._channel.register(flow_run.id)
            environment |= {"PREFECT__CONTROL_PORT": str(port), "PREFECT__CONTROL_TOKEN": token}
        self._process.run(ENGINE, self._entrypoint, environment=environment, folder=self._folder)
        scope = create_isolated_termination_scope(self._process.pid)
        task_status.started(ProcessHandle(self._process, termination_scope=scope))  # type: ignore[arg-type]  # acts as one
        await self._process.wait()
