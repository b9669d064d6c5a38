"""Rows as tokens, kept in files: those of a large dataset take more room than the memory has."""

import os
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from adapters.shared.conversations import Encoded
from adapters.trainers.bad_results import some_must_be_learned


def learnable(rows: Iterable[Encoded], *, max_length: int) -> Iterator[Encoded]:
    """The rows of which a token is learned. Raises `BadResult` after the last one if there was none."""
    some = False
    for row in rows:
        if any(row.learned[1:]):
            some = True
            yield row
    some_must_be_learned([some], max_length=max_length)


def as_dataset(rows: Iterable[Encoded], folder: Path) -> Any:
    """The rows as a dataset of the library `datasets`, read from a file in this folder; what is not learned is -100."""
    from datasets import Dataset, Features, Value
    from datasets import List as ListOf
    from datasets.arrow_writer import ArrowWriter

    file = folder / "tokens.arrow"
    tokens = ListOf(Value("int64"))
    with ArrowWriter(path=str(file), features=Features({"input_ids": tokens, "labels": tokens})) as writer:
        for row in rows:
            labels = [token if learned else -100 for token, learned in zip(row.ids, row.learned, strict=True)]
            writer.write({"input_ids": row.ids, "labels": labels})
        writer.finalize()
    return Dataset.from_file(str(file))


class EncodedRows(Sequence[Encoded]):
    """Rows by their number, in a file without a name: each token as a number of four bytes, doubled, odd if learned."""

    def __init__(self, rows: Iterable[Encoded]) -> None:
        self._file = tempfile.TemporaryFile(prefix="tmm-tokens-")  # noqa: SIM115 -- lives as long as the rows
        weakref.finalize(self, self._file.close)
        self._begins = array("q", [0])
        for row in rows:
            both = np.asarray(row.ids, np.int32) * 2 + np.asarray(row.learned, np.int32)
            self._file.write(both.tobytes())
            self._begins.append(self._begins[-1] + both.nbytes)
        self._file.flush()

    def __len__(self) -> int:
        return len(self._begins) - 1

    @overload
    def __getitem__(self, index: int) -> Encoded: ...

    @overload
    def __getitem__(self, index: slice) -> list[Encoded]: ...

    def __getitem__(self, index: int | slice) -> Encoded | list[Encoded]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(f"there is no row {index} of {len(self)}")
        begin, end = self._begins[index], self._begins[index + 1]
        both = np.frombuffer(os.pread(self._file.fileno(), end - begin, begin), np.int32)
        return Encoded((both // 2).tolist(), (both % 2).astype(bool).tolist())
