"""Prefect's process worker, whose runs are forked from a server that has everything imported."""

import abc
import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.abc
from prefect.runner._flow_run_executor import FlowRunExecutorContext
from prefect.runner._process_manager import ProcessHandle, create_isolated_termination_scope
from prefect.settings import get_current_settings
from prefect.utilities.processutils import command_from_string, sanitize_subprocess_env
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from adapters.prefect.warm_worker.hooks import ForkedHooks
from adapters.prefect.warm_worker.server_handle import ForkedProcess, ForkServer

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.runner._control_channel import ControlChannel

_ENGINE = "prefect.engine"


class WarmProcessWorker(ProcessWorker, abc.ABC):
    """Serves a process pool beside Prefect's own workers; `abc.ABC` keeps it from replacing them in their registry.

    A run that cannot start warm is left to `ProcessWorker.run`, as it stands.
    """

    def __init__(self, *args: Any, fork_server: ForkServer, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fork_server = fork_server

    async def run(
        self,
        flow_run: "FlowRun",
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Run the flow in a forked process, or in a fresh one where its settings ask for that."""
        environment = _environment(flow_run, configuration)
        if (reason := await self._why_fresh(configuration, environment)) is not None:
            self.get_flow_run_logger(flow_run).info("This run starts in a fresh process: %s.", reason)
            return await super().run(flow_run, configuration, task_status)
        outputs = (1, 2) if configuration.stream_output else (None, None)
        if (process := await self._fork_server.fork(*outputs)) is None:
            return await super().run(flow_run, configuration, task_status)
        with contextlib.closing(process), contextlib.ExitStack() as stack:
            folder = configuration.working_dir or stack.enter_context(tempfile.TemporaryDirectory(suffix="prefect"))
            return await self._run_in(process, flow_run, environment, Path(folder).resolve(), task_status)

    async def _run_in(
        self,
        process: ForkedProcess,
        flow_run: "FlowRun",
        environment: Mapping[str, str],
        folder: Path,
        task_status: anyio.abc.TaskStatus[int] | None,
    ) -> ProcessWorkerResult:
        execution = None
        async with FlowRunExecutorContext() as context:
            executor = context.create_executor(
                flow_run,
                _ForkedEngine(process, environment, folder, context.control_channel),
                propose_submitting=False,
                hook_runner=ForkedHooks(self._fork_server, environment, folder),
            )

            async def execute(*, task_status: anyio.abc.TaskStatus[ProcessHandle]) -> None:
                nonlocal execution
                execution = await executor.submit(task_status=task_status)

            async with anyio.create_task_group() as tasks:
                await tasks.start(execute)
                if task_status is not None:
                    task_status.started(process.pid)
        if execution is None or execution.status_code is None:
            raise RuntimeError("The flow run's process could not be started.")
        return ProcessWorkerResult(status_code=execution.status_code, identifier=str(process.pid))

    async def _why_fresh(self, configuration: ProcessJobConfiguration, environment: Mapping[str, str]) -> str | None:
        if configuration.command and command_from_string(configuration.command)[1:] != ["-m", _ENGINE]:
            return "its pool or deployment has a command of its own"
        if changed := await self._fork_server.changed_since_import(environment):
            verb = "is" if len(changed) == 1 else "are"
            return f"{', '.join(changed)} {verb} read while libraries are imported, and set otherwise for this run"
        return None


class _ForkedEngine:
    """What Prefect calls a starter: runs Prefect's flow engine in the forked process."""

    def __init__(
        self, process: ForkedProcess, environment: Mapping[str, str], folder: Path, channel: "ControlChannel"
    ) -> None:
        self._process = process
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
        self._process.run(_ENGINE, environment=environment, folder=self._folder)
        scope = create_isolated_termination_scope(self._process.pid)
        task_status.started(ProcessHandle(self._process, termination_scope=scope))  # type: ignore[arg-type]  # acts as one
        await self._process.wait()


def _environment(flow_run: "FlowRun", configuration: ProcessJobConfiguration) -> dict[str, str]:
    """What Prefect's own worker gives to a run's process."""
    return sanitize_subprocess_env(
        {
            **os.environ,
            **get_current_settings().to_environment_variables(exclude_unset=True),
            **configuration.env,
            "PREFECT__FLOW_RUN_ID": str(flow_run.id),
            "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false",
        }
    )
