"""Write the demos' datasets: additions to train on, and additions that neither they nor the base model ever show.

Run ``python -m infra.samples.make_datasets``; it writes the same bytes every time.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import click

from infra.samples.arithmetic import Addition, split

FOLDER = Path(__file__).parent
HELD_OUT_ROWS = 200

Message = dict[str, str]
Row = dict[str, str | list[Message]]


def demonstrated(addition: Addition) -> Row:
    """A question with a right demonstration, for methods that learn by imitation."""
    return {
        "messages": [
            {"role": "user", "content": addition.question},
            {"role": "assistant", "content": addition.demonstration},
        ]
    }


def verifiable(addition: Addition) -> Row:
    """A question with nothing but its right answer, for methods that learn from rewards."""
    return {
        "prompt": [{"role": "user", "content": addition.question}],
        "answer": str(addition.answer),
    }


@dataclass(frozen=True)
class Demo:
    """A dataset as it lies in its folder: what its rows look like, and which draw of the split they are."""

    folder: str
    row: Callable[[Addition], Row]
    train_rows: int
    seed: int


DEMOS = (
    Demo("sft-demo", demonstrated, train_rows=1600, seed=1),
    Demo("grpo-demo", verifiable, train_rows=600, seed=2),
    Demo("mlx-demo", demonstrated, train_rows=1000, seed=3),
)


def write(demo: Demo, under: Path) -> None:
    """Write the demo's ``train.jsonl`` and ``held_out.jsonl`` into its folder under ``under``."""
    additions = split()
    rng = random.Random(demo.seed)
    folder = under / demo.folder
    folder.mkdir(parents=True, exist_ok=True)
    _write_rows(folder / "train.jsonl", map(demo.row, rng.sample(additions.train, demo.train_rows)))
    _write_rows(folder / "held_out.jsonl", map(demo.row, rng.sample(additions.held_out, HELD_OUT_ROWS)))


def _write_rows(path: Path, rows: Iterable[Row]) -> None:
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    # Bytes, so that every system writes the same line ends.
    path.write_bytes(text.encode())


def main() -> None:
    """Write every demo's dataset beside this script."""
    for demo in DEMOS:
        write(demo, FOLDER)
    click.echo(f"Wrote {', '.join(demo.folder for demo in DEMOS)} to {FOLDER}")


if __name__ == "__main__":
    main()
