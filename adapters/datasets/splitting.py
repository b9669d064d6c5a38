"""A part of the rows is held out for measuring; it never shares a question with the rest, not even by white space."""

import hashlib
import random
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO

import numpy as np
from numpy.typing import NDArray

from adapters.datasets.row import Located
from adapters.datasets.storing import parted
from domain.errors import InvalidDataset
from domain.runs.grading import question_of

HELD_OUT_SHARE = 0.1
MOST_HELD_OUT = 200


def hold_out(rows: Sequence[Located], *, seed: int) -> tuple[Sequence[Located], Sequence[Located]]:
    """The rows parted by the seed: a tenth, at least one row and about 200 at most, is for measuring.

    Rows with the same question stay together. Raises `InvalidDataset` when there is only one question.
    """
    with tempfile.TemporaryFile(prefix="tmm-questions-") as file:
        asked = _Digests(file, rows)
        comes_first = asked.first_of_each()
        questions = int(comes_first.sum())
        if questions < 2:
            raise InvalidDataset(
                f"{rows[0].place.rpartition(',')[0]} has one question only, so nothing can be held out for measuring. "
                "Add rows with other questions."
            )
        wanted = min(MOST_HELD_OUT, max(1, round(questions * HELD_OUT_SHARE)))
        # The questions in the order in which they come first, so that the seed chooses the same ones as ever.
        chosen = sorted(random.Random(seed).sample(range(questions), wanted))
        return parted(rows, asked.rows_like(_numbers_of(comes_first, chosen)))


class _Digests:
    """The rows' questions as numbers, eight bytes each, in a file: the questions themselves may be gigabytes."""

    def __init__(self, file: IO[bytes], rows: Sequence[Located]) -> None:
        self._file, self._count = file, len(rows)
        numbers = map(_digest, rows)
        while some := array("q", islice(numbers, _AT_ONCE)):
            file.write(some.tobytes())
        file.flush()

    def first_of_each(self) -> NDArray[np.bool_]:
        """Which rows are the first with their question."""
        first = np.zeros(self._count, np.bool_)
        # A share of all questions at a time, so that no more than about so many are in memory.
        shares = -(-self._count // _AT_ONCE)
        for share in range(shares):
            numbers: list[NDArray[np.int64]] = []
            digests: list[NDArray[np.int64]] = []
            for begin, some in self._pieces():
                here = np.flatnonzero(some % shares == share)
                numbers.append(here + begin)
                digests.append(some[here])
            first[np.concatenate(numbers)[np.unique(np.concatenate(digests), return_index=True)[1]]] = True
        return first

    def rows_like(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of all rows with the questions of these."""
        wanted = np.concatenate(
            [some[rows[(rows >= at) & (rows < at + len(some))] - at] for at, some in self._pieces()]
        )
        return np.concatenate([np.flatnonzero(np.isin(some, wanted)) + at for at, some in self._pieces()])

    def _pieces(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        for begin in range(0, self._count, _AT_ONCE):
            self._file.seek(begin * 8)
            yield begin, np.frombuffer(self._file.read(_AT_ONCE * 8), np.int64)


def _numbers_of(marked: NDArray[np.bool_], places: Sequence[int]) -> NDArray[np.int64]:
    """The numbers of the marked rows that stand at these places among them, which are in order."""
    found: list[NDArray[np.int64]] = []
    before = 0
    for begin in range(0, len(marked), _AT_ONCE):
        here = np.flatnonzero(marked[begin : begin + _AT_ONCE]) + begin
        found.append(here[[place - before for place in places if before <= place < before + len(here)]])
        before += len(here)
    return np.concatenate(found).astype(np.int64)


def _digest(row: Located) -> int:
    """The question as a number: eight bytes a row, where the questions themselves may be gigabytes."""
    words = question_of(row.fields).encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(words, digest_size=8).digest(), "little", signed=True)


_AT_ONCE = 1 << 20
