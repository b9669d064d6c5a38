"""Direct preference optimisation on MLX (Rafailov 2023): chosen answers become likelier than rejected ones, measured
against what the base model thought of both.

Loss of a pair with the margin h = log π(y_w)/ρ(y_w) − log π(y_l)/ρ(y_l): −log σ(βh) (arXiv:2305.18290, eq. 7), or as
`loss_type` says.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from adapters.trainers.common_options import EpochOptions, LengthOptions, MarginOptions
from adapters.trainers.mlx.mlx_steps import StepOptions
from domain.errors import InvalidConfigurationOptions
from domain.training import Progress, TrainingJob, TrainingResult, changes


class Options(LengthOptions, EpochOptions, MarginOptions, StepOptions):
    learning_rate: float = Field(
        default=1e-5,
        ge=1e-8,
        le=1.0,
        description="AdamW step size at its highest",
        json_schema_extra=changes("weights"),
    )


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """Widen the margin between chosen and rejected answers, relative to the base model."""
    from adapters.trainers.mlx.mlx_models import open_model
    from adapters.trainers.mlx.mlx_preferences import Pairs, answer_logprobs, take_steps
    from adapters.trainers.mlx.mlx_steps import Steps

    if options.label_smoothing and options.loss_type != "robust":
        raise InvalidConfigurationOptions(
            [f"option 'label_smoothing' is for loss_type robust; with loss_type {options.loss_type} it must be 0"]
        )
    opened = open_model(job, options)
    at_first = opened.model.trainable_parameters()
    pairs = Pairs(job, opened, options, trainer="mlx-dpo")

    def reference(batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the base model thinks of the pairs: the same model with the weights that it had at first."""
        import mlx.core as mx

        now = opened.model.trainable_parameters()
        opened.model.update(at_first)
        opened.model.eval()
        arrays = {name: mx.array(values) for name, values in batch.items()}
        measured = {
            f"{side}_reference": np.array(answer_logprobs(opened.model, arrays, side)[0])
            for side in ("chosen", "rejected")
        }
        opened.model.update(now)
        opened.model.train()
        return measured

    def loss(model: Any, batch: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
        chosen, chosen_tokens = answer_logprobs(model, batch, "chosen")
        rejected, rejected_tokens = answer_logprobs(model, batch, "rejected")
        gained, lost = chosen - batch["chosen_reference"], rejected - batch["rejected_reference"]
        if options.loss_type == "ipo":
            gained, lost = gained / chosen_tokens, lost / rejected_tokens
        losses = margin_loss(
            gained - lost, beta=options.beta, loss_type=options.loss_type, label_smoothing=options.label_smoothing
        )
        share = batch["share"]
        return (losses * share).sum(), {
            "margin": (options.beta * (gained - lost) * share).sum(),
            "preference_accuracy": ((gained > lost) * share).sum(),
        }

    steps = Steps(job, opened, options, progress, loss, total=pairs.steps)
    take_steps(steps, pairs, reference)
    return steps.result()


def margin_loss(margin: Any, *, beta: float, loss_type: str, label_smoothing: float) -> Any:
    """The loss on each pair's margin h = log π(y_w)/ρ(y_w) − log π(y_l)/ρ(y_l).

    sigmoid: −log σ(βh) (Rafailov 2023, eq. 7). ipo: (h − 1/2β)², with h of means over tokens (Azar 2023, eq. 17).
    hinge: max(0, 1 − βh) (Zhao 2023). robust: what sigmoid would be without the share ε of pairs that are the wrong
    way round, (ε log σ(−βh) − (1−ε) log σ(βh)) / (1 − 2ε) (Chowdhury 2024, eq. 12).
    """
    import mlx.core as mx
    from mlx import nn

    match loss_type:
        case "sigmoid":
            return -nn.log_sigmoid(beta * margin)
        case "robust":
            right, wrong = nn.log_sigmoid(beta * margin), nn.log_sigmoid(-beta * margin)
            return (label_smoothing * wrong - (1.0 - label_smoothing) * right) / (1.0 - 2.0 * label_smoothing)
        case "ipo":
            return (margin - 0.5 / beta) ** 2
        case "hinge":
            return mx.maximum(1.0 - beta * margin, 0.0)
    raise ValueError(f"there is no loss {loss_type!r}")
