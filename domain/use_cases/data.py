"""The acts on datasets and base models that have a name here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from domain.use_cases.act import Act
from domain.values import Value


class NamedData(Value):
    """A dataset or base model that has a name here. `size` in bytes; `rows_hash` is sha256 of its contents.

    `rows` and `columns` are those of a dataset, None where it is too large to be read for a list; `problem` says why it
    cannot be used.
    """

    name: str
    sample: bool
    size: int
    rows: int | None = None
    columns: tuple[str, ...] = ()
    rows_hash: str | None = None
    used_by_runs: int = 0
    problem: str | None = None


class Preview(Value):
    """The first rows of a dataset, as its file has them."""

    data: NamedData
    rows: tuple[Mapping[str, Any], ...]


class ListDatasets(Act[Sequence[NamedData]]):
    """The datasets that have a name here."""


class ListBaseModels(Act[Sequence[NamedData]]):
    """The base models that have a name here."""


class PreviewDataset(Act[Preview]):
    """The first rows of a dataset."""

    name: str
    limit: int = 20


class UploadDataset(Act[NamedData]):
    """Keep a file as a dataset with a name, after it was checked; one with the same contents is kept once.

    Raises `InvalidDataset` naming file, row and column.
    """

    name: str
    file: Path
