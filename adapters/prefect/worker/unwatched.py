"""Runs that nobody watches over but their own engine: for a Prefect whose private parts are not as we know them."""

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING

import anyio
import anyio.abc
from prefect.workers.process import ProcessWorkerResult

from adapters.prefect.worker.worker import ENGINE

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

_STOP_GRACE_S = 5


class Unwatched:
    """Gives a run a fresh process, with nothing of Prefect's but what its documentation promises.

    Nobody tells the process that its run was cancelled: whoever reconciles ends it, about half a minute later, and
    records the end of a process that was killed.
    """

    async def run(
        self,
        flow_run: "FlowRun",
        entrypoint: str,
        environment: Mapping[str, str],
        *,
        stream_output: bool,
        task_status: anyio.abc.TaskStatus[int],
    ) -> ProcessWorkerResult:
        """Run the flow at the entrypoint to its end; a worker that is stopped takes its runs along."""
        shown = None if stream_output else asyncio.subprocess.DEVNULL
        with tempfile.TemporaryDirectory(suffix="prefect") as folder:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", ENGINE, entrypoint),
                env=environment,
                cwd=folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=shown,
                stderr=shown,
            )
            try:
                task_status.started(process.pid)
                code = await process.wait()
            finally:
                if process.returncode is None:
                    process.terminate()
                    with anyio.move_on_after(_STOP_GRACE_S, shield=True):
                        await process.wait()
                if process.returncode is None:
                    process.kill()
        return ProcessWorkerResult(status_code=code, identifier=str(process.pid))
