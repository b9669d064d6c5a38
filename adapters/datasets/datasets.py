"""Where datasets are found, and how they become rows to train on and rows to measure with."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from adapters.datasets.columns import parse_columns, renamed
from adapters.datasets.files.folders import MEASURED_WITH, TRAIN, files_of, files_to_train_on, may_be_a_dataset
from adapters.datasets.files.hub import is_hub_id, read_from_hub
from adapters.datasets.files.raw_rows import RawRow, Rows
from adapters.datasets.files.reading import kind_of_file, read_file
from adapters.datasets.other_names import told_as_columns
from adapters.datasets.row import Located
from adapters.datasets.rows import as_demonstrations, converted, demonstrated, shape_of, told_by_other_names
from adapters.datasets.splitting import hold_out
from adapters.datasets.storing import fields_of, kept
from domain.errors import InvalidDataset
from domain.ports import Dataset


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
        samples = {file.parent.name: file.parent for file in self._samples.glob(f"*/{TRAIN}.jsonl")}
        there = self._registered.iterdir() if self._registered is not None and self._registered.is_dir() else ()
        return {path.name: path for path in there if may_be_a_dataset(path)} | samples

    def located(self, name: str) -> str:
        """The name as any process of this machine can open it: local paths absolute. Raises `InvalidDataset`."""
        if name in self._named():
            return name
        path = Path(name).expanduser()
        if path.exists():
            if path.is_dir():
                files_to_train_on(path)
            return str(path.absolute())
        if is_hub_id(name) and kind_of_file(path) is None:
            return name
        raise InvalidDataset(
            f"There is no dataset {name!r}: it is none of {', '.join(self.names())}, no file or folder on this "
            "machine and no hub id such as organisation/name."
        )

    def load(self, name: str, *, seed: int, columns: str = "") -> Dataset:
        """Rows and held-out rows, checked. Raises `InvalidDataset` naming file, row and column.

        `columns` says what columns are called here, as in `prompt=question, completion=answer`. Where nothing is set
        aside for measuring, a part is held out by the seed; it shares no question with the rest. Of a file that is
        larger than the memory, rows are read when they are asked for.
        """
        names = parse_columns(columns)
        told: dict[str, None] = {}
        located = self.located(name)
        path = self._named().get(located, Path(located))
        if path.is_dir():
            raw, raw_held_out = _parts(path, told)
        elif path.exists():
            raw, raw_held_out = read_file(path, told=told.setdefault), None
        else:
            raw, raw_held_out, remarks = read_from_hub(located)
            told |= dict.fromkeys(remarks)
        return _dataset(name, raw, raw_held_out, names, told, seed=seed)


def _parts(folder: Path, told: dict[str, None]) -> tuple[Rows, Rows | None]:
    """The rows of a folder to train on and to measure with."""
    within = folder.resolve()

    def read(files: Sequence[Path]) -> Rows:
        parts = [read_file(file, within=within, told=told.setdefault) for file in files]
        return Rows(lambda: chain.from_iterable(parts))

    train = read(files_to_train_on(folder))
    parts = {part: files for part in MEASURED_WITH if (files := files_of(folder, part))}
    if not parts:
        return train, None
    (_, taken), *others = parts.items()
    for _, files in others:
        told.setdefault(f"The file {files[0].name} is not used: the rows to measure with are those of {taken[0].name}.")
    return train, read(taken)


def _dataset(
    name: str,
    raw: Iterable[RawRow],
    raw_held_out: Iterable[RawRow] | None,
    names: Mapping[str, str],
    told: dict[str, None],
    *,
    seed: int,
) -> Dataset:
    first = _first(name, renamed(raw, names))
    if guessed := told_by_other_names(first, names):
        names = {**names, **{ours: names.get(theirs, theirs) for ours, theirs in guessed.items()}}
        told.setdefault(f'The columns are read as with --columns "{told_as_columns(guessed)}".')
    seen = _Seen()
    rows = _rows(raw, names, seen)
    if raw_held_out is None:
        rows, held_out = hold_out(rows, seed=seed)
    else:
        # Rows that both have are told by the look at a training before it begins: here they are not ours to part.
        _first(name, raw_held_out)
        held_out = _rows(raw_held_out, names, seen)
    return Dataset(
        name,
        fields_of(rows),
        fields_of(held_out),
        rows_hash=_hash_of(rows),
        held_out_hash=_hash_of(held_out),
        remarks=(*told, *seen.remarks()),
        as_demonstrations=told_as_columns(
            {ours: names.get(theirs, theirs) for ours, theirs in as_demonstrations(first).items()}
        ),
    )


def _first(name: str, raw: Iterable[RawRow]) -> RawRow:
    if (first := next(iter(raw), None)) is None:
        raise InvalidDataset(f"{name} has no rows. Give it at least two: one to train on, one to measure with.")
    return first


def _rows(raw: Iterable[RawRow], names: Mapping[str, str], seen: "_Seen") -> Sequence[Located]:
    raw = renamed(raw, names)
    kinds: set[bool] = set()

    def looked_at(row: Located) -> Located:
        seen.look_at(row)
        kinds.add("completion" in row.fields)
        return row

    rows = kept(map(looked_at, converted(raw, shape_of(next(iter(raw)), names))))
    return rows if len(kinds) < 2 else kept(map(demonstrated, rows))


class _Seen:
    """What rows had that is not used, for people."""

    def __init__(self) -> None:
        self._unread: dict[str, None] = {}
        self._cut, self._first_cut = 0, ""

    def look_at(self, row: Located) -> None:
        self._unread |= dict.fromkeys(row.unread)
        if row.is_cut:
            self._cut += 1
            self._first_cut = self._first_cut or row.place

    def remarks(self) -> Iterator[str]:
        if self._unread:
            yield f"The rows' {_named(self._unread)} {'is' if len(self._unread) == 1 else 'are'} not used."
        if self._cut:
            rows = "1 row ends" if self._cut == 1 else f"{self._cut:,} rows end"
            yield f"{rows} with words that are not answered ({self._first_cut}): these words are left out."


def _named(columns: Iterable[str]) -> str:
    *some, last = (repr(name) for name in columns)
    return f"columns {', '.join(some)} and {last}" if some else f"column {last}"


def _hash_of(rows: Iterable[Located]) -> str:
    digest, write = hashlib.sha256(), json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode
    for row in rows:
        digest.update(write(row.fields).encode() + b"\n")
    return digest.hexdigest()
