"""Acts on datasets and base models. An uploaded file is kept once under its sha256, and linked to under its names."""

import hashlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

from adapters.datasets.reading import SUFFIXES, read_file
from domain.bounded import shown
from domain.errors import InvalidDataset, NotFound, TrainingMethodError
from domain.people.users import User
from domain.use_cases.data import ListBaseModels, ListDatasets, NamedData, Preview, PreviewDataset, UploadDataset
from infra.wiring import Installation

KEPT = ".kept"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,79}")
_RUNS_LOOKED_AT = 500
_READ_AT_MOST = 20_000_000
_FEWEST_ROWS = 2


def list_datasets(tmm: Installation, _: ListDatasets, __: User) -> Sequence[NamedData]:
    used = _used(tmm, tmm.service.catch_up().hash)[0]
    return [_dataset(tmm, name, used[name]) for name in tmm.datasets.names()]


@lru_cache(maxsize=4)
def _used(tmm: Installation, _head: str) -> tuple[Counter[str], Counter[str]]:
    """How many of the newest runs had each dataset, and each base model, while the log ends with this hash."""
    requests = [run.request for run in tmm.service.training_runs(limit=_RUNS_LOOKED_AT)]
    return Counter(asked.dataset for asked in requests), Counter(asked.base_model for asked in requests)


def _dataset(tmm: Installation, name: str, used: int) -> NamedData:
    file = _file_of(tmm, name)
    known = _looked_at(file, file.stat().st_mtime_ns, file.stat().st_size)
    return known.model_copy(update={"name": name, "sample": tmm.datasets.is_sample(name), "used_by_runs": used})


def _file_of(tmm: Installation, name: str) -> Path:
    """The file with the rows to train on."""
    place = tmm.datasets.place_of(name)
    if place is None:
        raise NotFound(f"There is no dataset {shown(name)} here.")
    if place.is_dir():
        return next(file for suffix in SUFFIXES if (file := place / f"train{suffix}").is_file())
    return place


@lru_cache(maxsize=1000)
def _looked_at(file: Path, _changed: int, size: int) -> NamedData:
    if size > _READ_AT_MOST:
        return NamedData(name="", sample=False, size=size)
    found = NamedData(name="", sample=False, size=size, rows_hash=hashlib.sha256(file.read_bytes()).hexdigest())
    try:
        rows = read_file(file)
    except InvalidDataset as error:
        return found.model_copy(update={"problem": str(error)})
    columns = tuple(dict.fromkeys(name for row in rows for name in row.fields))
    return found.model_copy(update={"rows": len(rows), "columns": columns})


def list_base_models(tmm: Installation, _: ListBaseModels, __: User) -> Sequence[NamedData]:
    used = _used(tmm, tmm.service.catch_up().hash)[1]
    listed = []
    for name in tmm.base_models.names():
        folder = tmm.base_models.place_of(name)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder else 0
        listed.append(NamedData(name=name, sample=tmm.base_models.is_sample(name), size=size, used_by_runs=used[name]))
    return listed


def preview(tmm: Installation, act: PreviewDataset, _: User) -> Preview:
    rows = tuple(row.fields for row in islice(read_file(_file_of(tmm, act.name)), act.limit))
    used = _used(tmm, tmm.service.catch_up().hash)[0]
    return Preview(data=_dataset(tmm, act.name, used[act.name]), rows=rows)


def upload(tmm: Installation, act: UploadDataset, _: User) -> NamedData:
    suffix = act.file.suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidDataset(f"{act.file.name} cannot be read as a dataset: give {', '.join(SUFFIXES)}.")
    name = act.name if act.name.lower().endswith(suffix) else act.name + suffix
    if not _NAME.fullmatch(name):
        raise InvalidDataset(
            f"name: must be 1 to 80 letters, digits, dots, hyphens and underscores, not {shown(act.name)}."
        )
    rows = read_file(act.file)
    if len(rows) < _FEWEST_ROWS:
        raise InvalidDataset(f"{act.file.name} has one row. Give it two: one to train on, one to measure with.")
    _keep(tmm, act.file, name, suffix)
    problem = None
    with suppress(OSError):
        try:
            tmm.datasets.load(name, seed=0)
        except TrainingMethodError as error:
            problem = str(error)
    return _dataset(tmm, name, 0).model_copy(update={"problem": problem})


def _keep(tmm: Installation, file: Path, name: str, suffix: str) -> None:
    """The file under its sha256, and under its name, which another one's must not be."""
    folder = tmm.settings.datasets
    kept = folder / KEPT / f"{_hash_of(file)}{suffix}"
    if (there := tmm.datasets.place_of(name)) is not None and not (there.is_file() and _hash_of(there) == kept.stem):
        raise InvalidDataset(f"name: another dataset is called {name} here. Choose another name.")
    kept.parent.mkdir(parents=True, exist_ok=True)
    if not kept.exists():
        fresh = kept.with_name(f"{uuid4()}.part")
        shutil.copyfile(file, fresh)
        os.replace(fresh, kept)
    with suppress(FileExistsError):  # the same contents, as was seen above
        os.link(kept, folder / name)


def _hash_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


HANDLERS: dict[type, Callable[..., Any]] = {
    ListDatasets: list_datasets,
    ListBaseModels: list_base_models,
    PreviewDataset: preview,
    UploadDataset: upload,
}
