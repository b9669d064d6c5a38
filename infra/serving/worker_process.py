"""A worker of a pool, as a process of its own: see `prefect_process`, which becomes it.

It waits until the server answers and its pool is there, so that all can be started at the same moment.
"""

import asyncio
import logging
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from adapters.machines.slots import is_in_use
from adapters.prefect.deployments import CATALOGUE_QUEUE, OUR_FLOWS, OurFlow
from adapters.prefect.warm_worker.compatibility import why_not_with_this_prefect
from adapters.prefect.warm_worker.imports import imports_of
from adapters.prefect.warm_worker.server_handle import ForkServer
from domain.errors import FlowRunNotOurs
from infra.explaining import shown
from infra.serving.prefect_environment import asking
from infra.serving.worker_kind import why_fresh
from infra.settings import CHECKOUT, Settings

if TYPE_CHECKING:
    from adapters.prefect.worker.worker import OurWorker, Start

_SERVER_DEADLINE_S = 120
_SLOT_POLL_S = 0.5


def work(pool: str, name: str, parts: Collection[str], flows: Mapping[str, OurFlow] = OUR_FLOWS) -> None:
    """A worker of a pool, until told to end; the flow runs under way are told to end too."""
    with suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(_work(pool, name, parts, flows))


async def _work(pool: str, name: str, parts: Collection[str], flows: Mapping[str, OurFlow]) -> None:
    settings = Settings.from_environment()
    async with AsyncExitStack() as stack:
        start = await _start_of_runs(settings, pool, stack)
        from adapters.prefect.worker.worker import OurWorker

        _await(f"{os.environ['PREFECT_API_URL']}/work_pools/{pool}")
        ours = partial(OurWorker, work_pool_name=pool, flows=flows, start=start, record_refused=_record_refused)
        await _serve(ours, pool, name, parts, settings)


async def _start_of_runs(settings: Settings, pool: str, stack: AsyncExitStack) -> "Start":
    """How runs get their processes here; a fork server lives as long as the stack."""
    fork_server = None
    if (reason := why_fresh(settings.worker)) is None:
        # It imports while this process itself gets ready.
        log = logging.getLogger("prefect.worker")
        fork_server = await stack.enter_async_context(ForkServer(imports_of(pool), CHECKOUT, log))
    else:
        sys.stdout.write(f"{reason}\n")
    if (reason := why_not_with_this_prefect()) is not None:
        from adapters.prefect.worker.unwatched import Unwatched

        await stack.aclose()
        sys.stdout.write(f"{reason} They start as fresh processes, and cancelling one takes half a minute.\n")
        return Unwatched()
    from adapters.prefect.worker.watched import Watched

    return Watched(fork_server)


def _record_refused(flow_run_id: UUID, what: str, refusal: FlowRunNotOurs) -> None:
    from infra.wiring import Installation

    with Installation.for_flow(flow_run_id) as tmm:
        tried = {"flow_run": str(flow_run_id)}
        tmm.commands.record_refused(refusal, action="start", name=what, tried=tried, by=tmm.user())


async def _serve(
    make: "Callable[..., OurWorker]", pool: str, name: str, parts: Collection[str], settings: Settings
) -> None:
    """The worker, and the one for the catalogue beside it, in this process."""
    from adapters.prefect.asking import ask_while_something_happens

    common: dict[str, Any] = {"create_pool_if_not_found": False, "prefetch_seconds": 1}
    async with asyncio.TaskGroup() as tasks:

        def start(worker: "OurWorker", *, queue: str | None = None) -> None:
            every_s = settings.poll_seconds
            tasks.create_task(worker.start())
            tasks.create_task(ask_while_something_happens(worker, pool, every_s=every_s, queue=queue))

        if "catalogue" in parts:
            served = [CATALOGUE_QUEUE]
            start(make(name=f"{name}-{CATALOGUE_QUEUE}", work_queues=served, **common), queue=CATALOGUE_QUEUE)
        if "training" in parts:
            while is_in_use(settings.slots_folder):
                await asyncio.sleep(_SLOT_POLL_S)  # a training outlived the worker that was here before
            common["limit"] = 1
        # It serves every queue, people's own as well; a list would also be void as soon as one of them is deleted.
        start(make(name=name, **common))


def _await(url: str) -> None:
    deadline = time.monotonic() + _SERVER_DEADLINE_S
    while True:
        try:
            with urllib.request.urlopen(asking(url), timeout=5):
                return
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > deadline:
                words = f"The Prefect server does not know {url}: {error}"
                raise SystemExit(shown(words, Settings.from_environment())) from None
        time.sleep(0.1)
