"""Runs that people look at while they go on: one watcher a run, whoever and however many look."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from uuid import UUID

from starlette.concurrency import run_in_threadpool

LOOK_EVERY_S = 0.5
SIGN_OF_LIFE_S = 15.0
"""A proxy, and a browser, would give up a stream that is silent for long."""

_logger = logging.getLogger(__name__)

Look = Callable[[], str]
"""How the run stands, as it is sent to everybody who looks; empty once there is nothing more to see."""


class Watched:
    """One run under way. The newest look is kept, so that whoever comes later begins with it."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self.newest: str | None = None
        self.ended = False
        """Whether nobody watches it any more: it came to its end, or could not be looked at."""
        self.lookers = 0
        self._changed = asyncio.Condition()
        self.task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        try:
            while True:
                seen = await run_in_threadpool(self._look)
                if seen != self.newest:
                    self.newest = seen
                    await self._tell()
                if not seen:
                    break
                await asyncio.sleep(LOOK_EVERY_S)
        except Exception:
            # Whoever looks comes again in a second, as after a restart.
            _logger.exception("A run under way could not be looked at.")
        finally:
            self.ended = True
            with suppress(RuntimeError):  # the loop may be closing
                await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def next_after(self, seen: str | None) -> str | None:
        """The newest look once it is another than this one; the same after a while of silence, None at the end."""
        async with self._changed:
            with suppress(TimeoutError):
                await asyncio.wait_for(
                    self._changed.wait_for(lambda: self.ended or self.newest != seen), timeout=SIGN_OF_LIFE_S
                )
        return None if self.ended and self.newest == seen else self.newest


class Watching:
    """All runs that somebody looks at."""

    def __init__(self) -> None:
        self._watched: dict[UUID, Watched] = {}

    async def looks(
        self, run_id: UUID, look: Look, *, gone: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[str | None]:
        """Each look that differs from the one before, None as a sign of life, and nothing (an empty text) at its end.

        It stops without that once nobody looks, or where the run could not be looked at: then to look again may help.
        """
        watched = self._watched.get(run_id)
        if watched is None or watched.ended:
            watched = self._watched[run_id] = Watched(look)
        watched.lookers += 1
        try:
            seen: str | None = None
            while (new := await watched.next_after(seen)) is not None:
                yield None if new == seen else new
                seen = new
                if await gone():
                    return
        finally:
            watched.lookers -= 1
            if not watched.lookers:
                watched.task.cancel()
                if self._watched.get(run_id) is watched:
                    del self._watched[run_id]
