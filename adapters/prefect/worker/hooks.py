"""A run's cancellation and crash hooks, in a process of their own: edited code is seen, broken code harms nobody."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.logging.loggers import flow_run_logger

from adapters.prefect.warm_worker.server_handle import ForkServer

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State

_RUN_HOOKS = "adapters.prefect.worker.run_hooks"


class Hooks:
    """What Prefect calls a hook runner. Asks for a forked process, and starts a fresh one when there is none."""

    def __init__(
        self, fork_server: ForkServer | None, entrypoint: str, environment: Mapping[str, str], folder: Path
    ) -> None:
        self._fork_server = fork_server
        self._entrypoint = entrypoint
        self._environment = environment
        self._folder = folder

    async def run_cancellation_hooks(self, flow_run: "FlowRun", state: "State") -> None:
        if state.is_cancelling():
            await self._run(flow_run, state)

    async def run_crashed_hooks(self, flow_run: "FlowRun", state: "State") -> None:
        if state.is_crashed():
            await self._run(flow_run, state)

    async def _run(self, flow_run: "FlowRun", state: "State") -> None:
        arguments = (self._entrypoint, flow_run.model_dump_json(), state.model_dump_json())
        if self._fork_server is not None and (process := await self._fork_server.fork()) is not None:
            process.run(_RUN_HOOKS, *arguments, environment=self._environment, folder=self._folder)
            code = await process.wait()
        else:
            command = [sys.executable, "-m", _RUN_HOOKS, *arguments]
            fresh = await asyncio.create_subprocess_exec(*command, env=self._environment, cwd=self._folder)
            code = await fresh.wait()
        if code != 0:
            flow_run_logger(flow_run).warning("The hooks for the state %s ended with exit code %s.", state.name, code)
