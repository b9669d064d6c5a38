"""Files become rows: which formats there are, and what is wrong with a file that cannot be read."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.errors import InvalidDataset


@dataclass(frozen=True)
class RawRow:
    """A row as its file has it, and where: «train.jsonl, row 3»."""

    place: str
    fields: dict[str, Any]


def read_file(file: Path) -> list[RawRow]:
    """The rows of a file by its suffix. Raises `InvalidDataset` naming file and row."""
    if file.suffix not in _READERS:
        raise InvalidDataset(f"{file.name} cannot be read as a dataset: give {', '.join(_READERS)} or a folder.")
    rows = _READERS[file.suffix](file)
    if not rows:
        raise InvalidDataset(f"{file} is empty. Give it at least two rows: one to train on, one to measure with.")
    return rows


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        row = file.read_bytes()[: error.start].count(b"\n") + 1
        raise InvalidDataset(f"{file.name}, row {row}: this is not UTF-8 text. Save the file as UTF-8.") from None
    except OSError as error:
        raise InvalidDataset(f"{file} cannot be read: {error.strerror}.") from None


def _read_jsonl(file: Path) -> list[RawRow]:
    rows = []
    for number, line in enumerate(_text_of(file).split("\n"), start=1):
        if line.strip():
            place = f"{file.name}, row {number}"
            rows.append(RawRow(place, _object(line, place)))
    return rows


def _object(text: str, place: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise InvalidDataset(
            f"{place}: this is not JSON ({error.msg} at character {error.pos + 1}). Write one JSON object a line."
        ) from None
    except ValueError as error:
        raise InvalidDataset(f"{place}: {error}") from None
    except RecursionError:
        raise InvalidDataset(f"{place}: the JSON is nested too deeply. Write plain columns.") from None
    return _must_be_object(value, place)


def _must_be_object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidDataset(f"{place}: a row is a JSON object with columns, not {_ARTICLES.get(type(value), 'this')}.")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise ValueError(f"column {name!r} stands there twice. Keep one of them.")
        fields[name] = value
    return fields


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number. Leave the value out or write a number.")


_ARTICLES = {list: "a list", str: "text", int: "a number", float: "a number", bool: "true or false", type(None): "null"}

_READERS: dict[str, Callable[[Path], list[RawRow]]] = {".jsonl": _read_jsonl}
