"""A Prefect server or worker as a process of its own: what `Supervisor` starts.

    python -m infra.prefect_process server SOCKET
    python -m infra.prefect_process worker POOL NAME

Started this way instead of with Prefect's own command they are up a second or two sooner, end at the first SIGTERM,
and never outlive the supervisor. The worker waits until the server answers and its pool is there, so that both can be
started at the same moment.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from types import FrameType
from typing import Any

from adapters.prefect.warm_worker.compatibility import why_not_with_this_prefect
from adapters.prefect.warm_worker.imports import imports_of
from adapters.prefect.warm_worker.server_handle import ForkServer
from infra.settings import CHECKOUT, Settings
from infra.worker_kind import why_stock

_SERVER_DEADLINE_S = 120
_EXIT_GRACE_S = 15


def serve(descriptor: int) -> None:
    """A Prefect server with its services and its UI, on an open socket, until told to end."""
    import uvicorn
    from prefect.server.api.server import create_app

    config = uvicorn.Config(create_app(final=True), log_level="warning", timeout_keep_alive=5)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


def work(pool: str, name: str) -> None:
    """A worker of a pool, until told to end; the flow runs under way are told to end too."""
    with suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(_work(pool, name))


async def _work(pool: str, name: str) -> None:
    arguments: dict[str, Any] = {
        "work_pool_name": pool,
        "name": name,
        "create_pool_if_not_found": False,
        "prefetch_seconds": 1,
    }
    pool_address = f"{os.environ['PREFECT_API_URL']}/work_pools/{pool}"
    if (reason := why_stock(Settings.from_environment().worker)) is None:
        # The fork server imports while this process itself gets ready.
        async with ForkServer(imports_of(pool), CHECKOUT, logging.getLogger("prefect.worker")) as fork_server:
            if (reason := why_not_with_this_prefect()) is None:
                from adapters.prefect.warm_worker.worker import WarmProcessWorker

                _await(pool_address)
                await WarmProcessWorker(**arguments, fork_server=fork_server).start()
                return
    sys.stdout.write(f"{reason}\n")
    from prefect.workers.process import ProcessWorker

    _await(pool_address)
    await ProcessWorker(**arguments).start()


def _await(url: str) -> None:
    request = urllib.request.Request(url)
    if secret := os.environ.get("PREFECT_API_AUTH_STRING"):
        from base64 import b64encode

        request.add_header("Authorization", f"Basic {b64encode(secret.encode()).decode()}")
    deadline = time.monotonic() + _SERVER_DEADLINE_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"The Prefect server does not know {url}: {error}") from None
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
    _end_at_the_first_signal()
    _end_with_the_parent()
    match arguments:
        case ["server", descriptor]:
            serve(int(descriptor))
        case ["worker", pool, name]:
            work(pool, name)
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
