"""Waiting for a database that is away for a while."""

import time
from collections.abc import Callable
from typing import TypeVar

from eventsourcing.persistence import InterfaceError, OperationalError

from domain.errors import DatabaseUnavailable

T = TypeVar("T")

_PATIENCE_S = 300.0


def patiently(do: Callable[[], T]) -> T:
    """Do it, and again while the database is away: hours of training are not lost to its restart."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return do()
        except (DatabaseUnavailable, OperationalError, InterfaceError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)
