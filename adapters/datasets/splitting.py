"""Rows to train on and rows to measure with never share a question."""

import random
from collections.abc import Sequence

from adapters.datasets.rows import Located, key_of
from domain.errors import InvalidDataset

HELD_OUT_SHARE = 0.1
MOST_HELD_OUT = 200


def hold_out(rows: Sequence[Located], *, seed: int) -> tuple[list[Located], list[Located]]:
    """The rows parted by the seed: a tenth, at least one row and about 200 at most, is for measuring.

    Rows with the same question stay together. Raises `InvalidDataset` when there is only one question.
    """
    questions = list(dict.fromkeys(key_of(row.fields) for row in rows))
    if len(questions) < 2:
        raise InvalidDataset(
            f"{rows[0].place.rpartition(',')[0]} has one question only, so nothing can be held out for measuring. Add "
            "rows with other questions."
        )
    wanted = min(MOST_HELD_OUT, max(1, round(len(questions) * HELD_OUT_SHARE)))
    held_out = set(random.Random(seed).sample(questions, wanted))
    return (
        [row for row in rows if key_of(row.fields) not in held_out],
        [row for row in rows if key_of(row.fields) in held_out],
    )


def must_not_overlap(rows: Sequence[Located], held_out: Sequence[Located]) -> None:
    """Raise `InvalidDataset` if a held-out row asks what a training row asks: measuring would show memory only."""
    trained_on = {key_of(row.fields): row.place for row in reversed(rows)}
    leaked = [row for row in held_out if key_of(row.fields) in trained_on]
    if leaked:
        first = leaked[0]
        raise InvalidDataset(
            f"{first.place} asks the same as {trained_on[key_of(first.fields)]}"
            + (f", and {len(leaked) - 1} more held-out rows are trained on as well" if len(leaked) > 1 else "")
            + ". Remove them from one of the two files, or measuring would show memory only."
        )
