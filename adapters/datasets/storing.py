"""Rows where they can be had by their number: in memory, or where they are many in a file without a name."""

import json
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from adapters.datasets.row import Located
from domain.errors import InvalidDataset
from domain.training import Row

IN_MEMORY = 16 << 20
"""Up to how many bytes of JSON rows are kept in memory."""

_READ_AT_ONCE = 1 << 20
_PLACE_SIZE = 8

T = TypeVar("T")

_WRITE = json.JSONEncoder(ensure_ascii=False).encode
_READ = json.JSONDecoder().decode


def kept(rows: Iterable[Located]) -> Sequence[Located]:
    """The rows, kept where they have room. Raises `InvalidDataset` for what no file can hold."""
    few: list[Located] = []
    many: RowsOnDisk | None = None
    size = 0
    for row in rows:
        line = _line_of(row)
        if many is None:
            few.append(row)
            size += len(line)
            if size > IN_MEMORY:
                many = RowsOnDisk(map(_line_of, few))
                few = []
        else:
            many.append(line)
    return few if many is None else many.whole()


def fields_of(rows: Sequence[Located]) -> Sequence[Row]:
    """The rows themselves, without their places."""
    return [row.fields for row in rows] if isinstance(rows, list) else _Mapped(rows, lambda row: row.fields)


def parted(rows: Sequence[Located], chosen: NDArray[np.int64]) -> tuple[Sequence[Located], Sequence[Located]]:
    """The rows without the chosen ones, and those; `chosen` are their numbers, in order."""
    if isinstance(rows, list):
        taken = set(chosen.tolist())
        return [row for n, row in enumerate(rows) if n not in taken], [rows[number] for number in chosen]
    return _Others(rows, chosen), _Chosen(rows, chosen)


class _Numbered(Sequence[T]):
    """A sequence that gives one element at a time, or a list of some."""

    def _one(self, number: int) -> T:
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self._one(number) for number in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"there is no row {index} of {len(self)}")
        return self._one(number)


class RowsOnDisk(_Numbered[Located]):
    """Rows as lines of JSON in a file without a name, and the places where they begin in another.

    Reading moves no position, so processes that were forked may read the same files.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._rows = tempfile.TemporaryFile(prefix="tmm-rows-")  # noqa: SIM115 -- lives as long as the rows
        self._places = tempfile.TemporaryFile(prefix="tmm-rows-")  # noqa: SIM115
        for file in (self._rows, self._places):
            weakref.finalize(self, file.close)
        self._count = self._end = 0
        for line in lines:
            self.append(line)

    def append(self, line: bytes) -> None:
        try:
            self._places.write(self._end.to_bytes(_PLACE_SIZE, "little"))
            self._rows.write(line)
        except OSError as error:
            raise _no_room(error) from None
        self._count, self._end = self._count + 1, self._end + len(line)

    def whole(self) -> "RowsOnDisk":
        """Itself, with nothing left to write."""
        try:
            self._places.write(self._end.to_bytes(_PLACE_SIZE, "little"))
            self._rows.flush()
            self._places.flush()
        except OSError as error:
            raise _no_room(error) from None
        return self

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Located]:
        at, rest = 0, b""
        while at < self._end:
            piece = _read(self._rows, at, _READ_AT_ONCE)
            at += len(piece)
            *lines, rest = (rest + piece).split(b"\n")
            yield from map(_row_of, lines)

    def _one(self, number: int) -> Located:
        places = _read(self._places, number * _PLACE_SIZE, 2 * _PLACE_SIZE)
        begin, end = (int.from_bytes(places[at : at + _PLACE_SIZE], "little") for at in (0, _PLACE_SIZE))
        return _row_of(_read(self._rows, begin, end - begin))


class _Chosen(_Numbered[Located]):
    def __init__(self, rows: Sequence[Located], chosen: NDArray[np.int64]) -> None:
        self._rows, self._chosen = rows, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def _one(self, number: int) -> Located:
        return self._rows[int(self._chosen[number])]


class _Others(_Numbered[Located]):
    """All rows but the left-out ones."""

    def __init__(self, rows: Sequence[Located], left_out: NDArray[np.int64]) -> None:
        self._rows, self._left_out = rows, left_out
        # How many of the others stand before each of those that are left out.
        self._before = left_out - np.arange(len(left_out))

    def __len__(self) -> int:
        return len(self._rows) - len(self._left_out)

    def __iter__(self) -> Iterator[Located]:
        left_out = iter(self._left_out.tolist())
        skipped = next(left_out, -1)
        for number, row in enumerate(self._rows):
            if number == skipped:
                skipped = next(left_out, -1)
            else:
                yield row

    def _one(self, number: int) -> Located:
        return self._rows[number + int(np.searchsorted(self._before, number, side="right"))]


class _Mapped(_Numbered[Row]):
    def __init__(self, rows: Sequence[Located], change: Callable[[Located], Row]) -> None:
        self._rows, self._change = rows, change

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return map(self._change, self._rows)

    def _one(self, number: int) -> Row:
        return self._change(self._rows[number])


def _line_of(row: Located) -> bytes:
    try:
        return _WRITE([row.place, row.fields]).encode() + b"\n"
    except UnicodeEncodeError:
        raise InvalidDataset(
            f"{row.place}: the row holds half a character (a lone surrogate, \\ud800 to \\udfff). Write the whole "
            "character, or remove it."
        ) from None


def _row_of(line: bytes) -> Located:
    place, fields = _READ(line.decode())
    return Located(place, fields)


def _read(file: IO[bytes], at: int, length: int) -> bytes:
    return os.pread(file.fileno(), length, at)


def _no_room(error: OSError) -> InvalidDataset:
    return InvalidDataset(
        f"The rows of this dataset do not fit into {tempfile.gettempdir()}: {error.strerror}. Make room there, or set "
        "TMPDIR to a larger disk."
    )
