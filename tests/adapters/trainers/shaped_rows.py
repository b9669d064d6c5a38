"""Demonstrations as the other shapes that trainers take."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def in_pairs(rows: Sequence[Row]) -> list[Row]:
    """Demonstrations as pairs that want what the base model finds unlikely: to answer at once, without reasoning."""
    return [
        {"prompt": row["messages"][:1], "chosen": [_unreasoned(row)], "rejected": row["messages"][1:]} for row in rows
    ]


def marked(rows: Sequence[Row]) -> list[Row]:
    """Demonstrations as unwanted answers, and every second one as a wanted answer without reasoning."""
    return [
        {
            "prompt": row["messages"][:1],
            "completion": [_unreasoned(row)] if number % 2 == 0 else row["messages"][1:],
            "label": number % 2 == 0,
        }
        for number, row in enumerate(rows)
    ]


def _unreasoned(row: Row) -> dict[str, str]:
    said = str(row["messages"][1]["content"])
    return {"role": "assistant", "content": said[said.index("<answer>") :]}


SHAPES: dict[str, Callable[[Sequence[Row]], list[Row]]] = {"": list, "in pairs": in_pairs, "marked": marked}
