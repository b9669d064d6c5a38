"""Files become rows: which formats there are, and what is wrong with a file that cannot be read."""

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.shared.plain_files import fault_of
from domain.errors import InvalidDataset


@dataclass(frozen=True)
class RawRow:
    """A row as its file has it, and where: «train.jsonl, row 3». `is_text` where the format knows nothing but text."""

    place: str
    fields: dict[str, Any]
    is_text: bool = False


def read_file(file: Path, *, within: Path | None = None) -> list[RawRow]:
    """The rows of a file by its suffix, which a link must not lead out of `within`.

    Raises `InvalidDataset` naming file and row.
    """
    if file.suffix not in _READERS:
        raise InvalidDataset(f"{file.name} cannot be read as a dataset: give {', '.join(_READERS)} or a folder.")
    if fault := fault_of(file, within=within):
        raise InvalidDataset(f"{fault}, and a dataset is plain files. It was not opened.")
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
            value = _parsed(line, place, advice="Write one JSON object a line.")
            rows.append(RawRow(place, _must_be_object(value, place)))
    return rows


def _parsed(text: str, place: str, *, advice: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise InvalidDataset(
            f"{place}: this is not JSON ({error.msg} at character {error.pos + 1}). {advice}"
        ) from None
    except ValueError as error:
        raise InvalidDataset(f"{place}: {error}") from None
    except RecursionError:
        raise InvalidDataset(f"{place}: the JSON is nested too deeply. Write plain columns.") from None


def _read_json(file: Path) -> list[RawRow]:
    """A list of objects, or an object of which one value is such a list, as exports have it: {"data": […]}."""
    text = _text_of(file)
    if not text.strip():
        return []
    value = _parsed(text, file.name, advice="Save the file again as JSON, or as JSONL with one object a line.")
    if isinstance(value, dict) and len(lists := [part for part in value.values() if isinstance(part, list)]) == 1:
        value = lists[0]
    if not isinstance(value, list):
        raise InvalidDataset(f"{file.name} must hold a list of rows: [{{…}}, {{…}}].")
    places = (f"{file.name}, row {number}" for number in range(1, len(value) + 1))
    return [RawRow(place, _must_be_object(row, place)) for place, row in zip(places, value, strict=True)]


def _read_csv(file: Path) -> list[RawRow]:
    """A header and rows of text; cells with a list of messages hold it as JSON, and labels are true or false."""
    reader = csv.reader(_text_of(file).splitlines(keepends=True), strict=True)
    rows: list[RawRow] = []
    try:
        header = next(reader, [])
        if len(set(header)) != len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise InvalidDataset(f"{file.name}: column {twice!r} stands in the header twice. Keep one of them.")
        for cells in reader:
            place = f"{file.name}, row {len(rows) + 1}"
            if not cells:
                continue
            if len(cells) != len(header):
                raise InvalidDataset(
                    f"{place} has {len(cells)} cells, and the header has {len(header)}. Put texts with commas or line "
                    "breaks into quotes."
                )
            fields = {name: cell_as(name, cell) for name, cell in zip(header, cells, strict=True)}
            rows.append(RawRow(place, fields, is_text=True))
    except csv.Error as error:
        raise InvalidDataset(f"{file.name}, row {len(rows) + 1}: this is not CSV ({error}).") from None
    return rows


def cell_as(column: str, cell: str) -> Any:
    """What a cell of text means in a column of this name."""
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


def _read_parquet(file: Path) -> list[RawRow]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidDataset(f"{file.name} cannot be read as Parquet: {str(error).splitlines()[0]}") from None
    return rows_of(table.to_pylist(), file.name)


def rows_of(rows: Iterable[dict[str, Any]], name: str) -> list[RawRow]:
    """Rows that a library has read already. Columns without a value are as good as absent."""
    return [
        RawRow(f"{name}, row {number}", {column: value for column, value in row.items() if value is not None})
        for number, row in enumerate(rows, start=1)
    ]


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

_LABELS = {"true": True, "1": True, "false": False, "0": False}
_MAY_BE_MESSAGES = ("messages", "conversations", "prompt", "completion", "chosen", "rejected")

_READERS: dict[str, Callable[[Path], list[RawRow]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
SUFFIXES = tuple(_READERS)
