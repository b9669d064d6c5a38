"""REINFORCE leave-one-out (Ahmadian et al. 2024): an answer's baseline is the mean reward of the prompt's others."""

from typing import Any

from pydantic import Field

from adapters.trainers.common_options import (
    AdapterOptions,
    CheckpointOptions,
    MemoryOptions,
    OptimiserOptions,
    RewardOptions,
    SamplingOptions,
)
from adapters.trainers.verifiable_rewards import train_on_rewards
from domain.training import Progress, TrainingJob, TrainingResult, changes


class Options(CheckpointOptions, MemoryOptions, AdapterOptions, RewardOptions, SamplingOptions, OptimiserOptions):
    batch_size: int = Field(
        default=64, ge=2, le=4096, description="Answers in one optimiser step", json_schema_extra=changes("weights")
    )
    learning_rate: float = Field(
        default=1e-5,
        ge=1e-8,
        le=1.0,
        description="AdamW step size at its highest",
        json_schema_extra=changes("weights"),
    )
    beta: float = Field(
        default=0.0,
        ge=0.0,
        le=10.0,
        description="Weight of the KL penalty towards the base model; 0 does without it",
        json_schema_extra=changes("weights"),
    )
    epsilon: float = Field(
        default=0.2,
        ge=0.001,
        le=1.0,
        description="How far an answer's probability ratio counts before it is clipped",
        json_schema_extra=changes("weights", tried=0.001, beside={"num_iterations": 2, "learning_rate": 1e-5}),
    )
    num_iterations: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Optimiser steps on each batch of answers",
        json_schema_extra=changes("weights"),
    )
    normalize_advantages: bool = Field(
        default=False,
        description="Scale the advantages of a batch to deviation 1",
        json_schema_extra=changes("weights"),
    )


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """Maximise the rewards of sampled answers, each against the mean of the same prompt's other answers."""
    return train_on_rewards(
        "rloo",
        job,
        options,
        progress,
        _classes,
        beta=options.beta,
        epsilon=options.epsilon,
        num_iterations=options.num_iterations,
        normalize_advantages=options.normalize_advantages,
    )


def _classes() -> tuple[type[Any], type[Any]]:
    from trl import RLOOConfig, RLOOTrainer

    return RLOOConfig, RLOOTrainer
