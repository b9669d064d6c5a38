"""Odds-ratio preference optimisation (Hong et al. 2024): demonstrations and preferences at once, with no reference.

Loss: that of demonstrations on the chosen answer, plus β times −log σ(log odds(y_w)/odds(y_l)) (arXiv:2403.07691,
eqs. 6 and 7).
"""

from typing import Any

from pydantic import Field

from adapters.trainers.common_options import (
    AdapterOptions,
    CheckpointOptions,
    EpochOptions,
    LengthOptions,
    MemoryOptions,
    OptimiserOptions,
)
from adapters.trainers.preferences import train_on_pairs
from domain.training import Progress, TrainingJob, TrainingResult, changes


class Options(CheckpointOptions, MemoryOptions, AdapterOptions, LengthOptions, EpochOptions, OptimiserOptions):
    learning_rate: float = Field(
        default=8e-6,
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
    return train_on_pairs("orpo", job, options, progress, _classes, beta=options.beta)


def _classes() -> tuple[type[Any], type[Any]]:
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    return ORPOConfig, ORPOTrainer
