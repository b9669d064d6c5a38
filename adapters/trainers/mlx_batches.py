"""Rows of unequal length as arrays for MLX."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adapters.conversations import Encoded

# A compiled computation is made anew for every width, so on a GPU widths are few; on the CPU nothing is compiled.
_WIDTHS_ON_GPU = 32


def padded(rows: Sequence[Encoded]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Tokens (rows × width) padded at the end, and 1 for each token that is learned, else 0.

    With causal attention padding at the end is never seen by what stands before it, so no mask is needed.
    """
    width = max(len(row.ids) for row in rows)
    if _on_gpu():
        width = -(-width // _WIDTHS_ON_GPU) * _WIDTHS_ON_GPU
    tokens = np.zeros((len(rows), width), np.int32)
    learned = np.zeros((len(rows), width), np.float32)
    for index, row in enumerate(rows):
        tokens[index, : len(row.ids)] = row.ids
        learned[index, : len(row.ids)] = row.learned
    return tokens, learned


def _on_gpu() -> bool:
    import mlx.core as mx

    return bool(mx.default_device() == mx.gpu)
