"""Datasets that have a name here, looked at and kept: a file is kept once under its sha256, and linked to by name."""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

from adapters.datasets.datasets import Datasets
from adapters.datasets.files.folders import files_to_train_on
from adapters.datasets.files.reading import PACKED, kind_of_file, read_file
from domain.bounded import shown
from domain.errors import InvalidDataset, NotFound, TrainingMethodError
from domain.use_cases.data import NamedData

KEPT = ".kept"

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,79}")
_READ_AT_MOST = 20_000_000
_FEWEST_ROWS = 2


class DatasetsByName:
    """The datasets of this installation. `folder` is where those that people bring are kept."""

    def __init__(self, datasets: Datasets, folder: Path) -> None:
        self._datasets = datasets
        self._folder = folder

    def all(self) -> Sequence[NamedData]:
        """Every one, by name."""
        return [self.one(name) for name in self._datasets.names()]

    def one(self, name: str) -> NamedData:
        """One of them. Raises `NotFound`."""
        file = self._file_of(name)
        told = file.stat()
        known = _looked_at(file, told.st_mtime_ns, told.st_size)
        return known.model_copy(update={"name": name, "sample": self._datasets.is_sample(name)})

    def first_rows(self, name: str, limit: int) -> Sequence[Mapping[str, Any]]:
        """Its first rows, as its file has them. Raises `NotFound` or `InvalidDataset`."""
        return [row.fields for row in islice(read_file(self._file_of(name)), limit)]

    def keep(self, name: str, file: Path) -> NamedData:
        """Keep a file under a name, after it was checked. Raises `InvalidDataset` naming file, row and column."""
        if kind_of_file(file) is None:
            raise InvalidDataset(
                f"{file.name} cannot be read as a dataset: give JSONL, JSON, CSV, TSV or Parquet, compressed or not."
            )
        suffix = "".join(file.suffixes[-2:] if file.suffix in PACKED else file.suffixes[-1:]).lower()
        called = name if name.lower().endswith(suffix) else name + suffix
        if not _NAME.fullmatch(called):
            raise InvalidDataset(
                f"name: must be 1 to 80 letters, digits, dots, hyphens and underscores, not {shown(name)}."
            )
        if len(list(islice(read_file(file), _FEWEST_ROWS))) < _FEWEST_ROWS:
            raise InvalidDataset(f"{file.name} has one row. Give it two: one to train on, one to measure with.")
        self._link(file, called, suffix)
        problem = None
        try:
            self._datasets.load(called, seed=0)
        except TrainingMethodError as error:
            problem = str(error)
        return self.one(called).model_copy(update={"problem": problem})

    def _link(self, file: Path, name: str, suffix: str) -> None:
        """The file under its sha256, and under its name, which another one's must not be."""
        kept = self._folder / KEPT / f"{_hash_of(file)}{suffix}"
        there = self._datasets.place_of(name)
        if there is not None and not (there.is_file() and kept.name.startswith(_hash_of(there))):
            raise InvalidDataset(f"name: another dataset is called {name} here. Choose another name.")
        kept.parent.mkdir(parents=True, exist_ok=True)
        if not kept.exists():
            fresh = kept.with_name(f"{uuid4()}.part")
            shutil.copyfile(file, fresh)
            os.replace(fresh, kept)
        with suppress(FileExistsError):  # the same contents, as was seen above
            os.link(kept, self._folder / name)

    def _file_of(self, name: str) -> Path:
        """The file with the rows to train on, or the first of several."""
        if (place := self._datasets.place_of(name)) is None:
            raise NotFound(f"There is no dataset {shown(name)} here.")
        return files_to_train_on(place)[0] if place.is_dir() else place


@lru_cache(maxsize=1000)
def _looked_at(file: Path, _changed: int, size: int) -> NamedData:
    """What a file holds; of a large one, that it is large."""
    if size > _READ_AT_MOST:
        return NamedData(name="", sample=False, size=size)
    found = NamedData(name="", sample=False, size=size, rows_hash=_hash_of(file))
    columns: dict[str, None] = {}
    count = 0
    try:
        for row in read_file(file):
            count += 1
            columns |= dict.fromkeys(row.fields)
    except InvalidDataset as error:
        return found.model_copy(update={"problem": str(error)})
    return found.model_copy(update={"rows": count, "columns": tuple(columns)})


def _hash_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
