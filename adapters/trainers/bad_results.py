"""A bad result is a failed run: what every trainer's outcome is held against, whatever library trained."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from domain.training import BadResult, Progress

_NOT_WEIGHTS = "Lower learning_rate, or set max_grad_norm to 1."


class WatchedProgress:
    """Passes each step on, unless its metrics show that nothing good can come of the run any more."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise BadResult(f"The {name} was {value} at step {step} of {total}. {_NOT_WEIGHTS}")
        self._progress.step(step, total, metrics)


def must_have_taken_steps(steps: int) -> None:
    """Raise `BadResult` if no optimiser step was taken."""
    if steps < 1:
        raise BadResult("No optimiser step was taken. Raise max_steps, or give more rows.")


def must_have_changed(before: Any, after: Any) -> None:
    """Raise `BadResult` if the trained weights are what they were. Anything that tells weights apart may be given."""
    if before == after:
        raise BadResult("The training did not change a single weight. Raise learning_rate or max_steps.")


def rewards_must_have_varied(deviations: Sequence[float], *, among: str = "the answers to one prompt") -> None:
    """Raise `BadResult` if answers that are compared got the same reward in every step: nothing told them apart."""
    if deviations and max(deviations) == 0.0:
        raise BadResult(
            f"The rewards never varied among {among}, so nothing could be learned from them. Check that the rewards "
            "fit the dataset, raise temperature, or start from a model that is right now and then."
        )


def must_have_ended_sometimes(truncated: Sequence[float]) -> None:
    """Raise `BadResult` if every answer of every step was cut off; takes the share of each step."""
    if truncated and min(truncated) == 1.0:
        raise BadResult(
            "Every answer was cut off before its end, so no answer could be judged. Raise max_completion_length."
        )


def some_must_be_learned(learned: Sequence[int], *, max_length: int) -> None:
    """Raise `BadResult` if after cutting no row has a token to learn from; takes the number of each row."""
    if not any(learned):
        raise BadResult(
            f"At {max_length} tokens every row is cut off before what is to be learned begins. Raise max_length."
        )
