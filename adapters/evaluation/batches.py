"""Rows of like length are measured together."""

from collections.abc import Iterator, Sequence

TOKENS_AT_ONCE = 16_384


def in_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of rows, the longest first, in batches of so many tokens as a machine takes at once."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batch and lengths[batch[0]] * (len(batch) + 1) > TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
