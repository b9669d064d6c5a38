"""Attempts to sign in that fail are slowed down, for each source by itself."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

_FREE = 5
_LONGEST_WAIT_S = 300
_FORGOTTEN_AFTER_S = 900.0
_MOST_SOURCES = 10_000


class Attempts:
    """After a few failures a source waits, twice as long after each further one; success clears it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._one_at_a_time = threading.Lock()

    def wait_s(self, source: str) -> int:
        """How many seconds this source has to wait, 0 for none."""
        with self._one_at_a_time:
            count, at = self._failed.get(source, (0, 0.0))
            if count < _FREE:
                return 0
            until = at + min(2 ** (count - _FREE), _LONGEST_WAIT_S)
            return max(0, -int(-(until - self._clock()) // 1))

    def failed(self, source: str) -> None:
        """Count a failure."""
        with self._one_at_a_time:
            now = self._clock()
            count, at = self._failed.pop(source, (0, now))
            self._failed[source] = (count + 1 if now - at < _FORGOTTEN_AFTER_S else 1, now)
            while len(self._failed) > _MOST_SOURCES:
                self._failed.popitem(last=False)

    def succeeded(self, source: str) -> None:
        """Forget its failures."""
        with self._one_at_a_time:
            self._failed.pop(source, None)
