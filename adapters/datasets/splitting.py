"""A part of the rows is held out for measuring; it never shares a question with the rest, not even by white space."""

import random
from collections.abc import Sequence

from adapters.datasets.rows import Located
from domain.errors import InvalidDataset
from domain.runs.grading import question_of

HELD_OUT_SHARE = 0.1
MOST_HELD_OUT = 200


def hold_out(rows: Sequence[Located], *, seed: int) -> tuple[list[Located], list[Located]]:
    """The rows parted by the seed: a tenth, at least one row and about 200 at most, is for measuring.

    Rows with the same question stay together. Raises `InvalidDataset` when there is only one question.
    """
    questions = list(dict.fromkeys(question_of(row.fields) for row in rows))
    if len(questions) < 2:
        raise InvalidDataset(
            f"{rows[0].place.rpartition(',')[0]} has one question only, so nothing can be held out for measuring. Add "
            "rows with other questions."
        )
    wanted = min(MOST_HELD_OUT, max(1, round(len(questions) * HELD_OUT_SHARE)))
    held_out = set(random.Random(seed).sample(questions, wanted))
    return (
        [row for row in rows if question_of(row.fields) not in held_out],
        [row for row in rows if question_of(row.fields) in held_out],
    )
