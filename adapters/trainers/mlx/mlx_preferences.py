"""What trainers on MLX that learn from chosen and rejected answers have in common: DPO and ORPO."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.shared.conversations import Encoded
from adapters.shared.training.epochs import steps_to_take
from adapters.trainers.batches import Batch, padded
from adapters.trainers.encoded_pairs import SIDES, encoded_pairs
from adapters.trainers.mlx.mlx_models import Opened, longest, width_step
from adapters.trainers.mlx.mlx_steps import Steps
from adapters.trainers.row_order import rows_of_step
from adapters.trainers.shapes import must_have_columns
from domain.training import TrainingJob


class Pairs:
    """The pairs of a dataset as tokens, and each step's share of them."""

    def __init__(self, job: TrainingJob, opened: Opened, options: Any, *, trainer: str) -> None:
        must_have_columns(job, ("prompt", *SIDES), trainer=trainer)
        max_length = longest(opened.model, options.max_length)
        self._job, self._options = job, options
        self._pairs = encoded_pairs(opened.tokenizer, job.rows, max_length=max_length)

    @property
    def steps(self) -> int:
        """How many optimiser steps the training takes."""
        options = self._options
        return steps_to_take(options.max_steps, options.epochs, rows=len(self._pairs), batch_size=options.batch_size)

    def of_step(self, step: int) -> dict[str, NDArray[Any]]:
        """Both sides of the step's pairs: tokens, and 1 for each token of the answer, else 0."""
        chosen = rows_of_step(step, rows=len(self._pairs), batch_size=self._options.batch_size, seed=self._job.seed)
        return {
            f"{side}_{name}": values
            for index, side in enumerate(SIDES)
            for name, values in _arrays([self._pairs[pair][index] for pair in chosen]).items()
        }


def answer_logprobs(model: Any, batch: Batch, side: str) -> tuple[Any, Any]:
    """log π(answer | prompt) of each pair's chosen or rejected answer, in nats, and how many tokens it has."""
    import mlx.core as mx
    from mlx import nn

    tokens, answer = batch[f"{side}_tokens"], batch[f"{side}_answer"][:, 1:]
    logits = model(tokens[:, :-1]).astype(mx.float32)
    return -(nn.losses.cross_entropy(logits, tokens[:, 1:]) * answer).sum(-1), answer.sum(-1)


def take_steps(steps: Steps, pairs: Pairs, complete: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
    """All steps that are still to take; `complete` adds to a step's batch what the loss needs besides."""
    for step in steps:
        batch = pairs.of_step(step)
        share = np.full(len(batch["chosen_tokens"]), 1.0 / len(batch["chosen_tokens"]), np.float32)
        steps.report(steps.update({**batch, **complete(batch), "share": share}))


def _arrays(rows: Sequence[Encoded]) -> dict[str, NDArray[Any]]:
    tokens, answer = padded(rows, multiple_of=width_step())
    return {"tokens": tokens, "answer": answer}
