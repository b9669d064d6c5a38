"""Which entries of the audit log have which facts, as bits: so that any conditions together are found by `&`.

A fact is an entry's actor, its action, a word of its sentence, and so on. Positions are in blocks; for each value of
each fact there is a row for every block in which an entry has it, with a bit for every such entry. Whatever is asked
for, its positions come in the order of the log, and are counted without looking at a single entry.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

BLOCK = 4096
"""Positions to a block."""

ALL_BITS = (1 << BLOCK) - 1
"""Every bit of a block."""

INDEXED_AT_MOST = 200
"""Characters of a value: an index of PostgreSQL takes 2,704 bytes, and one of counts holds several values."""

FACTS = {
    "licence": "licence_id",
    "method": "method",
    "actor": "actor",
    "action": "action",
    "outcome": "outcome",
    "origin": "origin",
}
"""Facts that are a column of the audit log; beside them there are `day` and `word`."""


Fact = tuple[str, str]
"""A name and a value: '' for what an entry lacks."""

Place = tuple[str, str, int]
"""A row of the index: a fact's name and value, and the block."""


def facts_of(entry: Mapping[str, Any]) -> Iterator[Fact]:
    """All facts of an entry, from its columns."""
    for name, column in FACTS.items():
        yield name, str(entry[column] or "")
    yield "day", entry["recorded_at"].date().isoformat()
    for word in words(entry["sentence"]):
        yield "word", word


def words(text: str) -> tuple[str, ...]:
    """The words of a text as they are searched for: each once, in lower case."""
    return tuple(dict.fromkeys(_WORD.findall(text.lower())))


_WORD = re.compile(r"[^\W_]+")


class Indexed:
    """The rows of the index that say the facts of the entries given to it, which come in the order of the log."""

    def __init__(self, entries: Iterable[Mapping[str, Any]] = ()) -> None:
        self._rows: dict[Place, int] = {}
        self._block = 0
        self._offsets: dict[Fact, list[int]] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: Mapping[str, Any]) -> None:
        block, offset = divmod(entry["position"], BLOCK)
        if block != self._block:
            self._finish_block()
            self._block = block
        for fact in facts_of(entry):
            self._offsets.setdefault(fact, []).append(offset)

    def rows(self) -> dict[Place, int]:
        self._finish_block()
        return self._rows

    def _finish_block(self) -> None:
        for (name, value), offsets in self._offsets.items():
            bits = bytearray(BLOCK // 8)
            for offset in offsets:
                bits[offset >> 3] |= 1 << (offset & 7)
            place = name, value, self._block
            self._rows[place] = self._rows.get(place, 0) | int.from_bytes(bits, "little")
        self._offsets.clear()


def block_of(position: int) -> int:
    return position // BLOCK


def to_bytes(bits: int) -> bytes:
    """Bits as they are kept: bit 0 first, and nothing behind the last one that is set."""
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def from_bytes(kept: bytes) -> int:
    return int.from_bytes(kept, "little")


def within(bits: int, block: int, low: int, high: int) -> int:
    """The bits of a block that are of positions from `low` to `high`."""
    first = block * BLOCK
    if low > first:
        bits = bits >> (low - first) << (low - first)
    if high < first + BLOCK - 1:
        bits &= (1 << max(high - first + 1, 0)) - 1
    return bits


def positions(bits: int, block: int, *, newest_first: bool) -> Iterator[int]:
    """The positions whose bits are set, in order."""
    digits, first = f"{bits:b}", block * BLOCK
    last = len(digits) - 1  # the digit of bit 0 is the last one
    at = digits.find("1") if newest_first else digits.rfind("1")
    while at >= 0:
        yield first + last - at
        at = digits.find("1", at + 1) if newest_first else digits.rfind("1", 0, at)


def first_difference(one: Mapping[Place, int], other: Mapping[Place, int]) -> int | None:
    """The first position about which two indexes do not say the same; None when they do."""
    if one == other:
        return None
    differing = ((place[2], one.get(place, 0) ^ other.get(place, 0)) for place in {*one, *other})
    return min(next(positions(bits, block, newest_first=False)) for block, bits in differing if bits)
