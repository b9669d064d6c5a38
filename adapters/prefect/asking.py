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
from prefect.events.schemas.events import Event
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
_AT_MOST_EVERY_S = 0.1
"""However much happens, the server is not asked more often than this."""


async def ask_while_something_happens(
    worker: "BaseWorker[Any, Any, Any]", pool: str, *, every_s: float, queue: str | None = None
) -> None:
    """Let a worker ask for runs when something happens in its pool, and for a while then every `every_s` seconds.

    With `queue` only what happens there counts. A worker whose slots are all taken has nothing to ask for. Beside it,
    it asks now and then by itself: nothing is lost when an event is, or while none can be received.
    """
    asking = _Asking(worker, pool, every_s, queue)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asking.listen())
        tasks.create_task(asking.ask())


class _Asking:
    def __init__(self, worker: "BaseWorker[Any, Any, Any]", pool: str, every_s: float, queue: str | None) -> None:
        self._worker = worker
        self._pool = pool
        self._every_s = every_s
        self._queue = queue
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
                        if self._concerns_us(event):
                            self._something_happened()
            await asyncio.sleep(1.0)

    async def ask(self) -> None:
        while True:
            await self._happened.wait()
            self._happened.clear()
            if self._has_room():
                with suppress(httpx.HTTPError):  # it is not reached: the worker's own asking says so
                    await self._worker.get_and_submit_flow_runs()
            await asyncio.sleep(min(_AT_MOST_EVERY_S, self._every_s))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s - _AT_MOST_EVERY_S):
                    await self._happened.wait()
            if time.monotonic() < self._until:
                self._happened.set()

    def _concerns_us(self, event: Event) -> bool:
        names = {resource.name for resource in event.involved_resources}
        of_our_queue = self._queue is None or event.event.startswith("prefect.work-pool.") or self._queue in names
        return self._pool in names and of_our_queue

    def _has_room(self) -> bool:
        limiter = self._worker._limiter  # its property raises before the worker has started
        return limiter is None or limiter.available_tokens > 0

    def _something_happened(self) -> None:
        self._until = time.monotonic() + _GOES_ON_FOR_S
        self._happened.set()
