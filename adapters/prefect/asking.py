"""Lets a worker ask Prefect for runs at once when something happens, and seldom when nothing does.

Each question costs the server some hundredths of a second of a processor, which a training beside it would miss.
"""

import asyncio
import time
from contextlib import suppress
from typing import Any

import httpx
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.workers.base import BaseWorker

_STATES = ("Scheduled", "Late", "AwaitingRetry", "Completed", "Failed", "Crashed", "Cancelled")
_HAPPENINGS = EventFilter(
    event=EventNameFilter(
        name=[
            "prefect.work-pool.ready",
            "prefect.work-queue.ready",
            *(f"prefect.flow-run.{state}" for state in _STATES),
        ]
    )
)
_GOES_ON_FOR_S = 3.0
"""A run leaves its worker's slot a little after it has ended; then the next one is there to be taken."""


async def ask_while_something_happens(worker: "BaseWorker[Any, Any, Any]", pool: str, *, every_s: float) -> None:
    """Let a worker ask for runs when something happens in its pool, and for a while then every `every_s` seconds.

    Beside it, it asks now and then by itself: nothing is lost when an event is, or while none can be received.
    """
    asking = _Asking(worker, pool, every_s)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asking.listen())
        tasks.create_task(asking.ask())


class _Asking:
    def __init__(self, worker: "BaseWorker[Any, Any, Any]", pool: str, every_s: float) -> None:
        self._worker = worker
        self._pool = pool
        self._every_s = every_s
        self._until = 0.0
        self._happened = asyncio.Event()

    async def listen(self) -> None:
        while True:
            # Whatever ends the stream, it is opened again; what happened meanwhile is asked for. A copy of the filter,
            # because the subscriber writes into it from when on it wants events.
            with suppress(Exception):
                async with get_events_subscriber(_HAPPENINGS.model_copy(), reconnection_attempts=0) as events:
                    self._something_happened()
                    async for event in events:
                        if self._pool in {resource.name for resource in event.involved_resources}:
                            self._something_happened()
            await asyncio.sleep(1.0)

    async def ask(self) -> None:
        while True:
            await self._happened.wait()
            with suppress(httpx.HTTPError):  # it is not reached: the worker's own asking says so
                await self._worker.get_and_submit_flow_runs()
            if time.monotonic() > self._until:
                self._happened.clear()
            await asyncio.sleep(self._every_s)

    def _something_happened(self) -> None:
        self._until = time.monotonic() + _GOES_ON_FOR_S
        self._happened.set()
