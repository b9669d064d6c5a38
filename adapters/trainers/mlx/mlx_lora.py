"""Supervised fine-tuning on MLX: a LoRA or DoRA adapter, or all weights, learns to say what the demonstrations say.

Loss: −log p(token | what came before), the mean over all tokens that are learned. LoRA is of Hu et al. 2021
(arXiv:2106.09685), DoRA of Liu et al. 2024 (arXiv:2402.09353).
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from adapters.trainers.common_options import EpochOptions, LengthOptions
from adapters.trainers.mlx.mlx_steps import StepOptions
from domain.training import Progress, TrainingJob, TrainingResult, changes


class Options(LengthOptions, EpochOptions, StepOptions):
    learning_rate: float = Field(
        default=1e-4,
        ge=1e-8,
        le=1.0,
        description="AdamW step size at its highest",
        json_schema_extra=changes("weights"),
    )


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """Minimise the mean negative log-likelihood of the assistant's tokens, or of all tokens of plain texts."""
    from adapters.shared.conversations import encode
    from adapters.shared.training.epochs import steps_to_take
    from adapters.trainers.batches import padded
    from adapters.trainers.encoded_rows import EncodedRows, learnable
    from adapters.trainers.mlx.mlx_models import longest, open_model, width_step
    from adapters.trainers.mlx.mlx_steps import Steps
    from adapters.trainers.row_order import rows_of_step
    from adapters.trainers.shapes import must_have_columns

    must_have_columns(job, ("messages",), ("prompt", "completion"), ("text",), trainer="mlx-lora")
    opened = open_model(job, options)
    max_length = longest(opened.model, options.max_length)
    encoded = (encode(opened.tokenizer, row).cut_to(max_length) for row in job.rows)
    rows = EncodedRows(learnable(encoded, max_length=max_length))
    total = steps_to_take(options.max_steps, options.epochs, rows=len(rows), batch_size=options.batch_size)
    steps = Steps(job, opened, options, progress, loss, total=total)
    for step in steps:
        chosen = rows_of_step(step, rows=len(rows), batch_size=options.batch_size, seed=job.seed)
        tokens, learned = padded([rows[index] for index in chosen], multiple_of=width_step())
        steps.report(steps.update({"tokens": tokens, "weights": learned / learned[:, 1:].sum()}))
    return steps.result()


def loss(model: Any, batch: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """Cross-entropy of each next token, weighted; and the share of learned tokens that were the likeliest ones.

    `tokens` and `weights` are rows × width; the weight of a token belongs to its prediction from those before it.
    """
    import mlx.core as mx
    from mlx import nn

    logits = model(batch["tokens"][:, :-1]).astype(mx.float32)
    targets, weights = batch["tokens"][:, 1:], batch["weights"][:, 1:]
    right = (logits.argmax(axis=-1) == targets) * weights
    return (nn.losses.cross_entropy(logits, targets) * weights).sum(), {"token_accuracy": right.sum()}
