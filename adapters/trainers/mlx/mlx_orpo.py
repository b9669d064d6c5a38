"""Odds-ratio preference optimisation on MLX (Hong 2024): demonstrations and preferences at once, with no reference.

Loss: that of demonstrations on the chosen answer, plus β times −log σ(log odds(y_w)/odds(y_l)) (arXiv:2403.07691,
eqs. 6 and 7).
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from adapters.trainers.common_options import EpochOptions, LengthOptions
from adapters.trainers.mlx.mlx_steps import StepOptions
from domain.training import Progress, TrainingJob, TrainingResult, changes


class Options(LengthOptions, EpochOptions, StepOptions):
    learning_rate: float = Field(
        default=1e-5,
        ge=1e-8,
        le=1.0,
        description="AdamW step size at its highest",
        json_schema_extra=changes("weights"),
    )
    beta: float = Field(
        default=0.1,
        ge=0.0,
        le=100.0,
        description="Weight of the odds ratio beside the likelihood of chosen answers",
        json_schema_extra=changes("weights"),
    )


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """Make chosen answers likely, and likelier than rejected ones by their odds."""
    from adapters.trainers.mlx.mlx_models import open_model
    from adapters.trainers.mlx.mlx_preferences import Pairs, answer_logprobs, take_steps
    from adapters.trainers.mlx.mlx_steps import Steps

    opened = open_model(job, options)
    pairs = Pairs(job, opened, options, trainer="mlx-orpo")

    def loss(model: Any, batch: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
        chosen, chosen_tokens = answer_logprobs(model, batch, "chosen")
        rejected, rejected_tokens = answer_logprobs(model, batch, "rejected")
        likely, unlikely = chosen / chosen_tokens, rejected / rejected_tokens
        odds_ratio = log_odds_ratio(likely, unlikely)
        share = batch["share"]
        return ((options.beta * odds_ratio_loss(odds_ratio) - likely) * share).sum(), {
            "log_odds_ratio": (odds_ratio * share).sum(),
            "preference_accuracy": ((odds_ratio > 0) * share).sum(),
        }

    steps = Steps(job, opened, options, progress, loss, total=pairs.steps)
    take_steps(steps, pairs, lambda _: {})
    return steps.result()


def log_odds_ratio(chosen: Any, rejected: Any) -> Any:
    """log of odds(y_w)/odds(y_l) with odds = P/(1−P), from mean log-probabilities (Hong 2024, eqs. 4 and 5)."""
    import mlx.core as mx

    def log_odds(logprob: Any) -> Any:
        # Just below zero: an answer that is certain would have infinite odds.
        logprob = mx.minimum(logprob, -1e-6)
        return logprob - mx.log(-mx.expm1(logprob))

    return log_odds(chosen) - log_odds(rejected)


def odds_ratio_loss(log_odds_ratio: Any) -> Any:
    """L_OR = −log σ(log odds ratio) (Hong 2024, eq. 7)."""
    from mlx import nn

    return -nn.log_sigmoid(log_odds_ratio)
