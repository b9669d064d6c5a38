"""Rows of like length are measured together, as many as their predictions have room for."""

from collections.abc import Iterator, Sequence

from adapters.measuring_room import LOGITS_AT_ONCE, TOKENS_AT_ONCE


def in_batches(lengths: Sequence[int], *, vocabulary: int = 1) -> Iterator[list[int]]:
    """Indices of rows, the longest first, in batches of so many tokens as a machine takes at once.

    Where each token is predicted over a `vocabulary`, a batch may be of one row that is longer than that.
    """
    most = min(TOKENS_AT_ONCE, LOGITS_AT_ONCE // max(1, vocabulary))
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batch and lengths[batch[0]] * (len(batch) + 1) > most:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def in_stretches(places: int, *, rows: int, vocabulary: int) -> Iterator[slice]:
    """The places of rows of the same length, in stretches whose predictions have room together."""
    each = max(1, LOGITS_AT_ONCE // max(1, rows * vocabulary))
    for begin in range(0, places, each):
        yield slice(begin, min(begin + each, places))
