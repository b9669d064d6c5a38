"""One model measured on held-out rows, the same way before and after a training."""

from collections.abc import Sequence
from pathlib import Path

from domain.ports import Device, Evaluation
from domain.training import Row


def evaluate(
    base_model: str, trained: Path | None, held_out: Sequence[Row], *, device: Device, is_adapter: bool, seed: int
) -> Evaluation:
    """Measure the base model, or with `trained` what a training made of it.

    Rows whose end can be checked (an answer, or a demonstration with one) give `accuracy`; the others give a loss.
    """
    raise NotImplementedError
