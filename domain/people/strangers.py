"""Attempts of strangers, bounded: whoever knocks all day long does not fill the log."""

from collections import OrderedDict, deque
from dataclasses import dataclass

_A_MINUTE, _AN_HOUR = 60.0, 3600.0
MOST_ENTRIES_AN_HOUR = 60
_MOST_REMEMBERED = 5_000


@dataclass
class _Knocking:
    told_at: float
    untold: int = 0


class Strangers:
    """Says which attempts are to be an entry: of each kind and source the first in a minute, and not too many at all.

    The others are counted, and the next entry tells how many they were. Times are seconds of a clock that only goes on.
    """

    def __init__(self) -> None:
        self._knocking: OrderedDict[tuple[str, str], _Knocking] = OrderedDict()
        self._told: deque[float] = deque()
        self._untold_of_others = 0

    def came(self, kind: str, source: str, *, now: float) -> int | None:
        """How many attempts were not told before this one, if it is to be an entry; None if it is not."""
        key = (kind, source)
        known = self._knocking.get(key)
        while self._told and now - self._told[0] >= _AN_HOUR:
            self._told.popleft()
        if known is not None and now - known.told_at < _A_MINUTE:
            known.untold += 1
            return None
        if len(self._told) >= MOST_ENTRIES_AN_HOUR:
            self._untold_of_others += 1
            return None
        untold = self._untold_of_others + (known.untold if known else 0)
        self._untold_of_others = 0
        self._told.append(now)
        self._knocking[key] = _Knocking(now)
        self._knocking.move_to_end(key)
        self._forget(now)
        return untold

    def _forget(self, now: float) -> None:
        """Those who were quiet for an hour, and the oldest of too many; what they did is told with the next entry."""
        while self._knocking:
            oldest = next(iter(self._knocking.values()))
            if now - oldest.told_at < _AN_HOUR and len(self._knocking) <= _MOST_REMEMBERED:
                return
            self._knocking.popitem(last=False)
            self._untold_of_others += oldest.untold
