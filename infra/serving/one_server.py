"""One Prefect server for a data folder: two on one database file would break it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from domain.errors import AlreadyRunning
from domain.secrets import shown_address
from infra.serving.prefect_environment import forget_server, known_api_url, remember_server
from infra.settings import Settings


@contextmanager
def the_only_server(settings: Settings, api_url: str) -> Iterator[None]:
    """Let the commands of this data folder find the server, for as long as the `with` lasts."""
    remember_server(settings, api_url)
    try:
        yield
    finally:
        forget_server(settings)


@contextmanager
def only_here(settings: Settings) -> Iterator[None]:
    """Raise `AlreadyRunning` while another process supervises a server on this data folder."""
    settings.prefect_home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(settings.prefect_home / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            where = known_api_url(settings)
            raise AlreadyRunning(
                f"A Prefect server of the data folder {settings.home} is running already"
                f"{f' ({shown_address(where)})' if where else ''}. Stop it first, or use another folder with TMM_HOME."
            ) from None
        yield
    finally:
        os.close(descriptor)  # the lock goes with it, also when this process is killed
