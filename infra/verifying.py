"""Verifying a long log in two processes."""

import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from domain.event_log import Beside
from domain.verification import Compared
from infra.settings import Settings
from infra.wiring import open_catalogue


def comparing_beside(settings: Settings) -> Beside:
    """Compares entries of this installation's log in a process of its own."""
    return partial(_start, settings)


def _start(settings: Settings, first: int, last: int) -> Callable[[], Compared]:
    # An interrupt at the terminal reaches both processes: this one says so, the other goes without a word.
    quietly = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=quietly)
    comparing = pool.submit(_compare, settings, first, last)

    def wait() -> Compared:
        with pool:
            return comparing.result()

    return wait


def _compare(settings: Settings, first: int, last: int) -> Compared:
    with open_catalogue(settings, {}) as service:
        return service.compare_entries(first, last)
