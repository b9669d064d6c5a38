"""Rows as files have them, before anybody knows what they mean."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RawRow:
    """A row as its file has it, and where: «train.jsonl, row 3»."""

    place: str
    fields: dict[str, Any]


class Rows:
    """Rows that are read again, from the first on, each time that somebody goes through them."""

    def __init__(self, read: Callable[[], Iterator[RawRow]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[RawRow]:
        return self._read()


def rows_of(rows: Iterable[dict[str, Any]], name: str, *, first: int = 1) -> Iterator[RawRow]:
    """Rows that a library has read already. Columns without a value are as good as absent."""
    for number, row in enumerate(rows, start=first):
        yield RawRow(f"{name}, row {number}", {column: value for column, value in row.items() if value is not None})


def as_meant(column: str, cell: Any) -> Any:
    """What text means in a column of this name: a label, or messages in JSON; any other value as it is."""
    if not isinstance(cell, str):
        return cell
    if column == "label" and cell.strip().lower() in _LABELS:
        return _LABELS[cell.strip().lower()]
    if column in _MAY_BE_MESSAGES and cell.lstrip().startswith("["):
        try:
            value = json.loads(cell)
        except ValueError:
            return cell
        if value and all(isinstance(message, dict) for message in value):
            return value
    return cell


_LABELS = {"true": True, "1": True, "false": False, "0": False}
_MAY_BE_MESSAGES = ("messages", "conversations", "prompt", "completion", "chosen", "rejected")
