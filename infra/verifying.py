"""Verifying a long log in two processes."""

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import TypeVar

from domain.audit.proving.verification import Compared, Followed
from domain.audit.proving.verified_log import VerifiedLog
from domain.audit.read_models import Head
from infra.settings import Settings
from infra.store import open_log

T = TypeVar("T")


class VerifyingBeside:
    """Verifies parts of this installation's log, each in a process of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def follow(self, since: Head, until: Head, wanted: Sequence[int]) -> Callable[[], Followed]:
        """Start to follow the chain of a part; what it returns waits for what came of it."""
        return self._start(partial(_follow, since, until, wanted))

    def compare(self, first: int, last: int) -> Callable[[], Compared]:
        """Start to compare these entries; what it returns waits for what came of it."""
        return self._start(partial(_compare, first, last))

    def _start(self, work: Callable[[VerifiedLog], T]) -> Callable[[], T]:
        # An interrupt at the terminal reaches both processes: this one says so, the other goes without a word.
        quietly = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=quietly)
        working = pool.submit(_with_the_log, self._settings, work)

        def wait() -> T:
            with pool:
                return working.result()

        return wait


def _with_the_log(settings: Settings, work: Callable[[VerifiedLog], T]) -> T:
    with open_log(settings) as log:
        return work(VerifiedLog(log))


def _follow(since: Head, until: Head, wanted: Sequence[int], log: VerifiedLog) -> Followed:
    return log.follow(since, until, wanted)


def _compare(first: int, last: int, log: VerifiedLog) -> Compared:
    return log.compare_entries(first, last)
