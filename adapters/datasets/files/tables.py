"""Rows in tables: text in cells (CSV, TSV), and columns of values (Parquet, Arrow), read in parts."""

import csv
import datetime as dt
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from decimal import Decimal
from itertools import compress
from pathlib import Path
from typing import Any, TextIO

from adapters.datasets.files.raw_rows import RawRow, rows_of
from domain.errors import InvalidDataset

OpenText = Callable[[], AbstractContextManager[TextIO]]

_LONGEST_CELL = 1 << 26
_ROWS_AT_ONCE = 500
_SAID = re.compile(r'"?sep=([,;\t|])"?\s*', re.IGNORECASE)


def rows_in_cells(text: OpenText, name: str, *, comma: str) -> Iterator[RawRow]:
    """A header and rows of text; cells with a list of messages hold it as JSON, and labels are true or false."""
    csv.field_size_limit(_LONGEST_CELL)
    number = 0
    with text() as lines:
        try:
            reader = csv.reader(lines, delimiter=_comma_of(lines, usual=comma), strict=True)
            named = [name.strip() for name in next(reader, [])]
            header = [name or f"column {place}" for place, name in enumerate(named, start=1)]
            if header and header[0].lstrip().startswith(("{", "[")):
                raise InvalidDataset(f"{name} is not CSV: it holds JSON. Give it the suffix .jsonl, or .json.")
            if len(set(header)) != len(header):
                twice = next(column for column in header if header.count(column) > 1)
                raise InvalidDataset(f"{name}: column {twice!r} stands in the header twice. Keep one of them.")
            for cells in reader:
                if not any(cells):
                    continue  # as spreadsheets write lines below the table
                number += 1
                place = f"{name}, row {number}"
                if len(cells) != len(header):
                    raise InvalidDataset(
                        f"{place} has {len(cells)} cells, and the header has {len(header)}. Put texts with commas or "
                        "line breaks into quotes."
                    )
                # Spreadsheets write columns beside the table too, with neither a name nor a cell.
                there = [bool(name or cell) for name, cell in zip(named, cells, strict=True)]
                yield RawRow(place, dict(compress(zip(header, cells, strict=True), there)))
        except csv.Error as error:
            raise InvalidDataset(
                f"{name}, row {number + 1}: this is not CSV ({error}). A cell with quotation marks stands in quotation "
                "marks itself, and has each of its own twice."
            ) from None


def _comma_of(lines: TextIO, *, usual: str) -> str:
    """What parts the cells: where the header has no comma, the semicolon or tab of other countries' spreadsheets.

    Excel may say it in a line before the header, which is passed over.
    """
    header = lines.readline()
    if said := _SAID.fullmatch(header):
        return said[1]
    lines.seek(0)
    if usual in header:
        return usual
    return max(("\t", ";", ","), key=header.count) if any(other in header for other in "\t;,") else usual


def rows_in_columns(file: Path, kind: str) -> Iterator[RawRow]:
    """The rows of a Parquet or Arrow file. Moments become text, as in JSON; bytes that are no text are left out."""
    import pyarrow as pa

    name = "Parquet" if kind == ".parquet" else "Arrow"
    number = 1
    try:
        for batch in _parquet(file) if kind == ".parquet" else _arrow(file):
            rows = batch.to_pylist()
            if any(word in str(field.type) for field in batch.schema for word in _UNLIKE_JSON):
                rows = [_as_json(row) for row in rows]
            yield from rows_of(rows, file.name, first=number)
            number += len(rows)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise InvalidDataset(f"{file.name} cannot be read as {name}: {str(error).splitlines()[0]}") from None


def _parquet(file: Path) -> Iterator[Any]:
    from pyarrow import parquet

    with parquet.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False) as opened:
        yield from opened.iter_batches(batch_size=_ROWS_AT_ONCE)


def _arrow(file: Path) -> Iterator[Any]:
    import pyarrow as pa

    with file.open("rb") as raw:
        is_file = raw.read(6) == b"ARROW1"
        raw.seek(0)
        if is_file:
            opened = pa.ipc.open_file(raw)
            yield from (opened.get_batch(number) for number in range(opened.num_record_batches))
        else:
            yield from pa.ipc.open_stream(raw)


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(part) for part in value]
    if isinstance(value, bytes):
        return _as_text(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return str(value) if isinstance(value, dt.timedelta | Decimal) else value


def _as_text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


_UNLIKE_JSON = ("timestamp", "date", "time", "duration", "decimal", "binary", "map")
