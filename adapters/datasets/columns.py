"""Columns under other names: `prompt=question, completion=answer` reads a dataset as if its columns were called so."""

from collections.abc import Iterable, Mapping

from adapters.datasets.files.raw_rows import RawRow, Rows, as_meant
from domain.errors import InvalidDataset

OURS = (
    "messages",
    "conversations",
    "prompt",
    "completion",
    "text",
    "chosen",
    "rejected",
    "label",
    "answer",
    "question",
    "instruction",
    "input",
    "output",
    "system",
    "tools",
)
"""The names by which rows are understood."""


def parse_columns(text: str) -> dict[str, str]:
    """The dataset's column for each name of ours. Raises `InvalidDataset` naming what cannot be read."""
    named: dict[str, str] = {}
    for pair in text.split(",") if text.strip() else ():
        ours, equals, theirs = (part.strip() for part in pair.partition("="))
        if not equals or not ours or not theirs:
            raise InvalidDataset(
                f"columns: {pair.strip()!r} cannot be read. Write pairs such as: prompt=question, completion=answer"
            )
        if ours not in OURS:
            raise InvalidDataset(f"columns: rows are not read by the name {ours!r}. Use one of {', '.join(OURS)}.")
        if ours in named:
            raise InvalidDataset(f"columns: {ours!r} is given twice. Keep one of them.")
        named[ours] = theirs
    return named


def renamed(rows: Iterable[RawRow], columns: Mapping[str, str]) -> Iterable[RawRow]:
    """The rows with these columns under our names, and the others as they are; texts are what our names make of them.

    A column that had one of these names before gives way. Raises `InvalidDataset` for a column that no row has.
    """
    _must_be_there(rows, columns)
    return Rows(lambda: (RawRow(row.place, _fields(row, columns)) for row in rows))


def _must_be_there(rows: Iterable[RawRow], columns: Mapping[str, str]) -> None:
    if not columns:
        return
    missing, there, dataset = set(columns.values()), dict[str, None](), ""
    for row in rows:  # most often the first one has them all
        dataset = row.place.rpartition(",")[0]
        there |= dict.fromkeys(row.fields)
        missing.difference_update(row.fields)
        if not missing:
            return
    unknown = next(theirs for theirs in columns.values() if theirs in missing)
    raise InvalidDataset(f"columns: {dataset} has no column {unknown!r} (it has {', '.join(there) or 'none'}).")


def _fields(row: RawRow, columns: Mapping[str, str]) -> dict[str, object]:
    taken = set(columns) | set(columns.values())
    fields = {name: value for name, value in row.fields.items() if name not in taken}
    fields |= {ours: row.fields[theirs] for ours, theirs in columns.items() if theirs in row.fields}
    return {name: as_meant(name, value) for name, value in fields.items()}
