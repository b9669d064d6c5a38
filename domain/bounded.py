"""Any value from outside as a plain one that can be stored and shown: printable, of bounded size, whatever it was."""

import math
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any

from domain.printable import printable

TEXT_AT_MOST = 2_000
"""Characters of one text: as many as the longest field of a method has."""

ALL_TEXT_AT_MOST = 30_000
"""Characters of all texts of one value together."""

ITEMS_AT_MOST = 2_000
"""Items of all lists and mappings of one value together."""

DEPTH_AT_MOST = 8
"""Lists and mappings inside one another."""

WHOLE_AT_MOST = 2**63 - 1
"""The largest whole number that every store and reader knows."""

_LOOKED_AT = 10 * TEXT_AT_MOST
_SHOWN_AT_MOST = 100


def bounded(value: object, *, clean: Callable[[str], str] = str) -> Any:
    """The value as JSON knows it; what goes beyond the bounds, or is of no kind that JSON has, is told in words.

    `clean` is done to every text before it is cut.
    """
    return _Bounds(clean).kept(value, 0)


def shown(value: object) -> str:
    """The value as it stands in a sentence, in quotes if it is a text."""
    return printable(repr(bounded(value)), at_most=_SHOWN_AT_MOST)


class _Bounds:
    """What is left of the bounds for one value."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        self._clean = clean
        self._characters = ALL_TEXT_AT_MOST
        self._items = ITEMS_AT_MOST

    def kept(self, value: object, depth: int) -> Any:  # noqa: PLR0911 -- one return a kind of value
        match value:
            case None | bool():
                return value
            case Enum():
                return self.kept(value.value, depth)
            case int():
                return int(value) if abs(value) <= WHOLE_AT_MOST else self._text(_long_number(value))
            case float():
                return float(value) if math.isfinite(value) else str(float(value))
            case str():
                return self._text(value)
            case Mapping() | list() | tuple() | set() | frozenset() if depth == DEPTH_AT_MOST:
                return "… (nested deeper)"
            case Mapping():
                pairs = {self._name(name): self.kept(item, depth + 1) for name, item in self._first(value.items())}
                return pairs | ({"…": f"{len(value):,} in all"} if len(pairs) < len(value) else {})
            case list() | tuple() | set() | frozenset():
                items = [self.kept(item, depth + 1) for item in self._first(value)]
                return items + ([f"… ({len(value):,} in all)"] if len(items) < len(value) else [])
        return f"({type(value).__name__})"

    def _first(self, items: Iterable[Any]) -> Iterable[Any]:
        for item in items:
            if self._items <= 0:
                return
            self._items -= 1
            yield item

    def _name(self, name: object) -> str:
        return self._text(name) if isinstance(name, str) else str(self.kept(name, DEPTH_AT_MOST))

    def _text(self, text: str) -> str:
        room = min(TEXT_AT_MOST, self._characters)
        if room <= 0:
            return "…"
        kept = printable(self._clean(text[:_LOOKED_AT])[:room], lines=True)
        if len(text) > room:
            kept = f"{kept}… ({len(text):,} characters)"
        self._characters -= len(kept)
        return kept


def _long_number(number: int) -> str:
    digits = round(number.bit_length() * math.log10(2))
    return f"(a whole number of about {digits:,} digits)"
