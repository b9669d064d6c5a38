"""Held-out rows that are also trained on: measuring with them would show memory."""

from collections.abc import Iterator, Sequence

from adapters.shared.conversations import prompt_of
from domain.errors import InvalidDataset
from domain.runs.grading import question_of, text_of
from domain.training import Row


def leaked(rows: Sequence[Row], held_out: Sequence[Row]) -> list[Row]:
    """The held-out rows whose question, or without one whose text, is trained on, white space aside."""
    # The questions of those alone that are held out: the others may be gigabytes.
    measured = {question_of(row) for row in held_out}
    trained_on = {question for row in rows if (question := question_of(row)) in measured}
    return [row for row in held_out if question_of(row) in trained_on]


def advice(rows: Sequence[Row], held_out: Sequence[Row]) -> Iterator[str]:
    """A warning if some rows leaked. Raises `InvalidDataset` if all did: then nothing would be measured."""
    found = leaked(rows, held_out)
    if not found:
        return
    shown = _shown(found[0])
    if len(found) == len(held_out):
        raise InvalidDataset(
            f"All {len(held_out)} held-out rows are also trained on (the first: «{shown}»), so measuring would show "
            "memory only. Hold out rows of their own, or none: then a part is held out for you."
        )
    how_many = "1 of them is" if len(found) == 1 else f"{len(found)} of them are"
    yield (
        f"There are {len(held_out)} held-out rows, and {how_many} also trained on (the first: «{shown}»): for these, "
        "measuring shows memory only."
    )


def _shown(row: Row) -> str:
    asked = row["text"] if "text" in row else text_of(prompt_of(row))
    line = " ".join(str(asked).split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


_SHOWN = 60
