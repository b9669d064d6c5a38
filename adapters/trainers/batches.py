"""Rows of unequal length as arrays, and batches in parts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.shared.conversations import Encoded

# Arrays by their names; the first dimension of each are the rows.
Batch = Mapping[str, Any]


def padded(rows: Sequence[Encoded], *, multiple_of: int = 1) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Tokens (rows × width) padded at the end, and 1 for each token that is learned, else 0.

    With causal attention padding at the end is never seen by what stands before it, so no attention mask is needed.
    """
    width = -(-max(len(row.ids) for row in rows) // multiple_of) * multiple_of
    tokens = np.zeros((len(rows), width), np.int64)
    learned = np.zeros((len(rows), width), np.float32)
    for index, row in enumerate(rows):
        tokens[index, : len(row.ids)] = row.ids
        learned[index, : len(row.ids)] = row.learned
    return tokens, learned


def in_parts(batch: Batch, parts: int) -> Iterator[Batch]:
    """The batch's rows in so many parts of about the same size, none of them empty."""
    rows = len(next(iter(batch.values())))
    for part in range(parts):
        here = slice(rows * part // parts, rows * (part + 1) // parts)
        if here.start < here.stop:
            yield {name: values[here] for name, values in batch.items()}
