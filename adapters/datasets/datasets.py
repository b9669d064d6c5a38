"""Where datasets are found, and how they become rows to train on and rows to measure with."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from adapters.datasets.reading import read_file
from adapters.datasets.rows import Located, normalised
from adapters.datasets.splitting import hold_out, must_not_overlap
from domain.errors import InvalidDataset
from domain.ports import Dataset
from domain.training import Row

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_TRAIN, _HELD_OUT = "train.jsonl", "held_out.jsonl"


class Datasets:
    """Opens datasets: a sample's name, a local file or folder, or a hub id."""

    def __init__(self, samples: Path) -> None:
        self._samples = samples

    def names(self) -> list[str]:
        """The samples there are."""
        return sorted(file.parent.name for file in self._samples.glob(f"*/{_TRAIN}"))

    def located(self, name: str) -> str:
        """The name as any process of this machine can open it: local paths absolute. Raises `InvalidDataset`."""
        if name in self.names():
            return name
        path = Path(name).expanduser()
        if path.exists():
            if path.is_dir() and not (path / _TRAIN).is_file():
                raise InvalidDataset(f"The folder {path} is no dataset: it has no {_TRAIN} (and {_HELD_OUT}, if any).")
            return str(path.absolute())
        if _HUB_ID.fullmatch(name):
            return name
        raise InvalidDataset(
            f"There is no dataset {name!r}: it is no sample ({', '.join(self.names())}), no file or folder on this "
            "machine and no hub id such as organisation/name."
        )

    def load(self, name: str, *, seed: int) -> Dataset:
        """Rows and held-out rows, checked. Raises `InvalidDataset` naming file, row and column.

        Where nothing is set aside for measuring, a part is held out by the seed; it shares no row with the rest.
        """
        located = self.located(name)
        folder = self._samples / located if located in self.names() else Path(located)
        if folder.is_dir():
            rows = normalised(read_file(folder / _TRAIN))
            if (folder / _HELD_OUT).is_file():
                held_out = normalised(read_file(folder / _HELD_OUT))
                must_not_overlap(rows, held_out)
                return _dataset(name, rows, held_out)
            return _dataset(name, *hold_out(rows, seed=seed))
        return _dataset(name, *hold_out(normalised(read_file(folder)), seed=seed))


def _dataset(name: str, rows: Sequence[Located], held_out: Sequence[Located]) -> Dataset:
    train, measure = [row.fields for row in rows], [row.fields for row in held_out]
    return Dataset(name, train, measure, rows_hash=_hash_of(train), held_out_hash=_hash_of(measure))


def _hash_of(rows: Iterable[Row]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()
