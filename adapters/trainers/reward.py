"""A reward model (Ouyang et al. 2022): from pairs it learns a score that is higher for what people would choose."""

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
    max_length: int = Field(
        default=1024,
        ge=8,
        le=1_048_576,
        description="Longest row in tokens; rows that are longer are left out",
        json_schema_extra=changes("weights", tried=30),
    )
    center_rewards_coefficient: float = Field(
        default=0.0,
        ge=0.0,
        le=10.0,
        description="Weight of keeping scores around zero (Eisenstein et al. 2023)",
        json_schema_extra=changes("weights", tried=0.1),
    )


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """Fit a score by the Bradley-Terry likelihood that the chosen answer wins."""
    return train_on_pairs(
        "reward",
        job,
        options,
        progress,
        _classes,
        scores=True,
        center_rewards_coefficient=options.center_rewards_coefficient or None,
    )


def _classes() -> tuple[type[Any], type[Any]]:
    from trl import RewardConfig, RewardTrainer

    return RewardConfig, RewardTrainer
