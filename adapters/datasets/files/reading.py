"""Which formats of files there are, and how each is read, one row after the other."""

from collections.abc import Callable, Iterator
from pathlib import Path

from adapters.datasets.files import json_files, tables
from adapters.datasets.files.raw_rows import RawRow, Rows, rows_of
from adapters.datasets.files.text_files import opened
from adapters.shared.plain_files import fault_of
from domain.errors import InvalidDataset

__all__ = ["PACKED", "SUFFIXES", "RawRow", "Rows", "kind_of_file", "read_file", "rows_of"]


def read_file(file: Path, *, within: Path | None = None, told: Callable[[str], None] = lambda _: None) -> Rows:
    """The rows of a file by its name, which a link must not lead out of `within`; `told` hears what people should know.

    Raises `InvalidDataset` naming file and row, some of it when the rows are gone through.
    """
    kind = kind_of_file(file)
    if kind is None:
        raise InvalidDataset(
            f"{file.name} cannot be read as a dataset: give .jsonl, .json, .csv, .parquet or a folder. "
            f"{_ways_out.get(file.suffix.lower(), 'Tables are read as .tsv too, and text that is compressed as .gz.')}"
        )
    if fault := fault_of(file, within=within):
        raise InvalidDataset(f"{fault}, and a dataset is plain files. It was not opened.")
    read = _reader(file, kind, told)
    return Rows(lambda: _must_be_some(read(), file))


def _reader(file: Path, kind: str, told: Callable[[str], None]) -> Callable[[], Iterator[RawRow]]:
    if kind in (".parquet", ".arrow"):
        return lambda: tables.rows_in_columns(file, kind)
    text = opened(file, told=told)
    match kind:
        case ".jsonl":
            return lambda: json_files.rows_in_lines(text, file.name)
        case ".json":
            return lambda: json_files.rows_in_document(text, file.name)
        case _:
            return lambda: tables.rows_in_cells(text, file.name, comma="," if kind == ".csv" else "\t")


def _must_be_some(rows: Iterator[RawRow], file: Path) -> Iterator[RawRow]:
    some = False
    for row in rows:
        some = True
        yield row
    if not some:
        raise InvalidDataset(f"{file} is empty. Give it at least two rows: one to train on, one to measure with.")


def kind_of_file(file: Path) -> str | None:
    """The format that a file's name tells, as its usual suffix; None for one that is not read."""
    name = file.name.lower()
    for packed in PACKED:
        if name.endswith(packed):
            name = name.removesuffix(packed)
            return next((kind for suffix, kind in _TEXTS.items() if name.endswith(suffix)), None)
    return next((kind for suffix, kind in (_TEXTS | _COLUMNS).items() if name.endswith(suffix)), None)


_TEXTS = {
    ".jsonl": ".jsonl",
    ".ndjson": ".jsonl",
    ".jsonlines": ".jsonl",
    ".json": ".json",
    ".csv": ".csv",
    ".tsv": ".tsv",
}
_COLUMNS = {".parquet": ".parquet", ".arrow": ".arrow"}
PACKED = (".gz", ".bz2", ".xz")
SUFFIXES = (*_COLUMNS, *_TEXTS, *(f"{suffix}{packed}" for suffix in _TEXTS for packed in PACKED))

_ways_out = {
    ".xlsx": "Save the sheet as CSV UTF-8.",
    ".xls": "Save the sheet as CSV UTF-8.",
    ".zip": "Unpack it, and give the file or the folder that was in it.",
    ".tar": "Unpack it, and give the file or the folder that was in it.",
    ".tgz": "Unpack it, and give the file or the folder that was in it.",
    ".zst": "Unpack it with zstd -d.",
    ".txt": 'Write each text as a line of JSON: {"text": "…"}.',
    ".yaml": "Save it as JSON.",
    ".yml": "Save it as JSON.",
}
