"""Where datasets are found, and how they become rows to train on and rows to measure with."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from adapters.datasets.columns import parse_columns, renamed
from adapters.datasets.hub import is_hub_id, read_from_hub
from adapters.datasets.reading import SUFFIXES, RawRow, read_file
from adapters.datasets.rows import Located, normalised
from adapters.datasets.splitting import hold_out
from domain.errors import InvalidDataset
from domain.ports import Dataset
from domain.training import Row

_TRAIN, _HELD_OUT = "train", "held_out"


class Datasets:
    """Opens datasets: by the name of a sample or of what the operator put into a folder, a local path, or a hub id."""

    def __init__(self, samples: Path, registered: Path | None = None) -> None:
        self._samples = samples
        self._registered = registered

    def names(self) -> list[str]:
        """The samples, and what lies in the operator's folder: files under their full names, and folders."""
        return sorted(self._named())

    def place_of(self, name: str) -> Path | None:
        """Where the dataset of this name lies; None where no dataset has it."""
        return self._named().get(name)

    def is_sample(self, name: str) -> bool:
        """Whether this name is that of a sample."""
        return (place := self.place_of(name)) is not None and place.parent == self._samples

    def _named(self) -> dict[str, Path]:
        """Each name with its place. A sample keeps its name, because the demos ask for it."""
        samples = {file.parent.name: file.parent for file in self._samples.glob(f"*/{_TRAIN}.jsonl")}
        there = self._registered.iterdir() if self._registered is not None and self._registered.is_dir() else ()
        return {path.name: path for path in there if _may_be_a_dataset(path)} | samples

    def located(self, name: str) -> str:
        """The name as any process of this machine can open it: local paths absolute. Raises `InvalidDataset`."""
        if name in self._named():
            return name
        path = Path(name).expanduser()
        if path.exists():
            if path.is_dir():
                _must_have(path, _TRAIN)
            return str(path.absolute())
        if is_hub_id(name):
            return name
        raise InvalidDataset(
            f"There is no dataset {name!r}: it is none of {', '.join(self.names())}, no file or folder on this "
            "machine and no hub id such as organisation/name."
        )

    def load(self, name: str, *, seed: int, columns: str = "") -> Dataset:
        """Rows and held-out rows, checked. Raises `InvalidDataset` naming file, row and column.

        `columns` says what columns are called here, as in `prompt=question, completion=answer`. Where nothing is set
        aside for measuring, a part is held out by the seed; it shares no question with the rest.
        """
        names = parse_columns(columns)
        located = self.located(name)
        path = self._named().get(located, Path(located))
        if path.is_dir():
            raw, raw_held_out = read_file(_must_have(path, _TRAIN), within=path.resolve()), _part(path, _HELD_OUT)
        elif path.exists():
            raw, raw_held_out = read_file(path), None
        else:
            raw, raw_held_out = read_from_hub(located)
        rows = normalised(renamed(raw, names), meant=names)
        if raw_held_out is None:
            return _dataset(name, *hold_out(rows, seed=seed))
        # Rows that both have are told by the look at a training before it begins: here they are not ours to part.
        return _dataset(name, rows, normalised(renamed(raw_held_out, names), meant=names))


def _may_be_a_dataset(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.is_file():
        return path.suffix in SUFFIXES
    return any((path / f"{_TRAIN}{suffix}").is_file() for suffix in SUFFIXES)


def _must_have(folder: Path, part: str) -> Path:
    files = _there(folder, part)
    if not files:
        raise InvalidDataset(
            f"The folder {folder} is no dataset: it has no {_TRAIN}.jsonl (and {_HELD_OUT}.jsonl, if any)."
        )
    if len(files) > 1:
        raise InvalidDataset(f"The folder {folder} has {files[0].name} and {files[1].name}. Keep one of them.")
    return files[0]


def _part(folder: Path, part: str) -> list[RawRow] | None:
    return read_file(_must_have(folder, part), within=folder.resolve()) if _there(folder, part) else None


def _there(folder: Path, part: str) -> list[Path]:
    """What has the name of this part; pipes and links that lead nowhere too, which are refused and not overlooked."""
    files = [folder / f"{part}{suffix}" for suffix in SUFFIXES]
    return [file for file in files if file.is_symlink() or (file.exists() and not file.is_dir())]


def _dataset(name: str, rows: Sequence[Located], held_out: Sequence[Located]) -> Dataset:
    train, measure = [row.fields for row in rows], [row.fields for row in held_out]
    return Dataset(name, train, measure, rows_hash=_hash_of(train), held_out_hash=_hash_of(measure))


def _hash_of(rows: Iterable[Row]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()
