"""A Prefect server, a worker or the page as a process of its own: what `Supervisor` starts.

    python -m infra.serving.prefect_process server SOCKET
    python -m infra.serving.prefect_process page SOCKET
    python -m infra.serving.prefect_process worker POOL NAME [training] [catalogue]

Started this way instead of with Prefect's own command they are up a second or two sooner, end at the first SIGTERM,
and never outlive the supervisor. For `training` a worker takes one run at a time, in its slot; for `catalogue` there is
another beside it, so that adding and deleting a method never waits for a training.
"""

import gc
import itertools
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from types import FrameType

from adapters.shared.privacy import keep_to_oneself
from infra.protection.logs import hide_secrets_in_logs
from infra.serving.prefect_password import spend_sign_in_key
from infra.settings import Settings

_EXIT_GRACE_S = 15
_ALL_GARBAGE_EVERY_S = 60


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
        case ["page", descriptor]:
            from infra.serving.page.app import serve_page

            serve_page(int(descriptor))
        case ["worker", pool, name, *parts]:
            from infra.serving.worker_process import work

            work(pool, name, parts)
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
