"""A curve in one line of text."""

import sys
from collections.abc import Sequence
from itertools import pairwise

_LEVELS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], *, width: int = 40) -> str:
    """The values from left to right, neighbours averaged into `width` characters; nothing where it cannot be shown."""
    if not values or not _can_show_it():
        return ""
    groups = min(width, len(values))
    bounds = [len(values) * number // groups for number in range(groups + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(bounds)]
    low, high = min(means), max(means)
    if high == low:
        return _LEVELS[0] * groups
    return "".join(_LEVELS[round((mean - low) / (high - low) * (len(_LEVELS) - 1))] for mean in means)


def _can_show_it() -> bool:
    try:
        _LEVELS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
