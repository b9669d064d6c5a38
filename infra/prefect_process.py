"""A Prefect server or worker as a process of its own: what `Supervisor` starts.

    python -m infra.prefect_process server SOCKET
    python -m infra.prefect_process worker POOL NAME [training] [catalogue]

Started this way instead of with Prefect's own command they are up a second or two sooner, end at the first SIGTERM,
and never outlive the supervisor. The worker waits until the server answers and its pool is there, so that both can be
started at the same moment. For `training` it takes one run at a time, in its slot; for `catalogue` there is another
beside it, so that adding and deleting a method never waits for a training.
"""

import asyncio
import gc
import itertools
import logging
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from adapters.prefect.deployments import CATALOGUE_QUEUE
from adapters.prefect.warm_worker.compatibility import why_not_with_this_prefect
from adapters.prefect.warm_worker.imports import imports_of
from adapters.prefect.warm_worker.server_handle import ForkServer
from adapters.shared.privacy import keep_to_oneself
from infra.explaining import shown
from infra.logs import hide_secrets_in_logs
from infra.prefect_environment import asking
from infra.prefect_password import spend_sign_in_key
from infra.settings import CHECKOUT, Settings
from infra.slots import is_in_use
from infra.worker_kind import why_stock

if TYPE_CHECKING:
    from prefect.workers.process import ProcessWorker

_SERVER_DEADLINE_S = 120
_EXIT_GRACE_S = 15
_ALL_GARBAGE_EVERY_S = 60
_SLOT_POLL_S = 0.5


def serve(descriptor: int) -> None:
    """A Prefect server with its services and its UI behind its door, on an open socket, until told to end."""
    import uvicorn
    from prefect.server.api.server import create_app

    from adapters.prefect.door import Door

    collect_garbage_beside()
    settings = Settings.from_environment()
    guarded = Door(
        create_app(final=True),
        names={settings.prefect_host, "localhost", socket.gethostname()},
        proxies=settings.prefect_names,
        password=os.environ["PREFECT_SERVER_API_AUTH_STRING"],
        spend=partial(spend_sign_in_key, settings),
    )
    config = uvicorn.Config(guarded, log_level="warning", timeout_keep_alive=5)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


def collect_garbage_beside() -> None:
    """Let a thread of its own collect the garbage, and never the one that answers.

    A cursor whose statement found SQLite locked keeps that statement in its error's traceback. Whoever lets go of it
    waits for its connection, and that one may wait for the lock again, for up to a minute: if it is the answering
    thread that waits, nobody is left who could release the lock.
    """

    def collect() -> None:
        for second in itertools.count(1):
            time.sleep(1.0)
            gc.collect(2 if second % _ALL_GARBAGE_EVERY_S == 0 else 1)

    gc.disable()
    threading.Thread(target=collect, name="garbage", daemon=True).start()


def work(pool: str, name: str, parts: Collection[str]) -> None:
    """A worker of a pool, until told to end; the flow runs under way are told to end too."""
    with suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(_work(pool, name, parts))


async def _work(pool: str, name: str, parts: Collection[str]) -> None:
    settings = Settings.from_environment()
    pool_address = f"{os.environ['PREFECT_API_URL']}/work_pools/{pool}"
    if (reason := why_stock(settings.worker)) is None:
        # The fork server imports while this process itself gets ready.
        async with ForkServer(imports_of(pool), CHECKOUT, logging.getLogger("prefect.worker")) as fork_server:
            if (reason := why_not_with_this_prefect()) is None:
                from adapters.prefect.warm_worker.worker import WarmProcessWorker

                _await(pool_address)
                warm = partial(WarmProcessWorker, work_pool_name=pool, fork_server=fork_server)
                await _start(warm, pool, name, parts, settings)
                return
    sys.stdout.write(f"{reason}\n")
    from prefect.workers.process import ProcessWorker

    _await(pool_address)
    await _start(partial(ProcessWorker, work_pool_name=pool), pool, name, parts, settings)


async def _start(
    make: "Callable[..., ProcessWorker]", pool: str, name: str, parts: Collection[str], settings: Settings
) -> None:
    """The worker, and the one for the catalogue beside it, in this process."""
    from adapters.prefect.asking import ask_while_something_happens

    common: dict[str, Any] = {"create_pool_if_not_found": False, "prefetch_seconds": 1}
    async with asyncio.TaskGroup() as tasks:

        def start(worker: "ProcessWorker", *, queue: str | None = None) -> None:
            every_s = settings.poll_seconds
            tasks.create_task(worker.start())
            tasks.create_task(ask_while_something_happens(worker, pool, every_s=every_s, queue=queue))

        if "catalogue" in parts:
            served = [CATALOGUE_QUEUE]
            start(make(name=f"{name}-{CATALOGUE_QUEUE}", work_queues=served, **common), queue=CATALOGUE_QUEUE)
        if "training" in parts:
            while is_in_use(settings):
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


def _end_at_the_first_signal() -> None:
    # A shell that starts us in the background has SIGINT ignored, and with it Python's own handling of it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def terminate(_signal: int, _frame: FrameType | None) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGTERM, terminate)


def _end_with_the_parent() -> None:
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_EXIT_GRACE_S)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-the-parent", daemon=True).start()


def main(arguments: list[str]) -> None:
    """Become the process that the arguments name."""
    keep_to_oneself()
    hide_secrets_in_logs(Settings.from_environment())
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # its log is read while it goes on
    _end_at_the_first_signal()
    _end_with_the_parent()
    match arguments:
        case ["server", descriptor]:
            serve(int(descriptor))
        case ["worker", pool, name, *parts]:
            work(pool, name, parts)
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
