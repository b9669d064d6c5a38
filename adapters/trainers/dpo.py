"""Direct preference optimisation (Rafailov et al. 2023): chosen answers become likelier than rejected ones, measured
against what the base model thought of both.
"""

from typing import Any, Literal

from pydantic import Field

from adapters.trainers.common_options import (
    AdapterOptions,
    CheckpointOptions,
    LengthOptions,
    MemoryOptions,
    OptimiserOptions,
)
from adapters.trainers.preferences import train_on_pairs
from domain.errors import InvalidConfigurationOptions
from domain.training import Progress, TrainingJob, TrainingResult, changes


class Options(CheckpointOptions, MemoryOptions, AdapterOptions, LengthOptions, OptimiserOptions):
    learning_rate: float = Field(
        default=1e-6,
        ge=1e-8,
        le=1.0,
        description="AdamW step size at its highest",
        json_schema_extra=changes("weights"),
    )
    beta: float = Field(
        default=0.1,
        ge=0.001,
        le=100.0,
        description="How strongly the model is held to what the base model thinks",
        json_schema_extra=changes("weights"),
    )
    loss_type: Literal["sigmoid", "ipo", "hinge", "robust"] = Field(
        default="sigmoid",
        description="Loss on the margin between chosen and rejected: logistic, squared, hinge, or logistic where some "
        "pairs are the wrong way round",
        json_schema_extra=changes("weights"),
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0.0,
        le=0.49,
        description="Share of pairs that are the wrong way round, for loss_type robust",
        json_schema_extra=changes("weights", tried=0.2, beside={"loss_type": "robust"}),
    )


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """Widen the margin between chosen and rejected answers, relative to the base model."""
    if options.label_smoothing and options.loss_type != "robust":
        raise InvalidConfigurationOptions(
            [f"option 'label_smoothing' is for loss_type robust; with loss_type {options.loss_type} it must be 0"]
        )
    return train_on_pairs(
        "dpo",
        job,
        options,
        progress,
        _classes,
        beta=options.beta,
        loss_type=options.loss_type,
        label_smoothing=options.label_smoothing,
    )


def _classes() -> tuple[type[Any], type[Any]]:
    from trl import DPOConfig, DPOTrainer

    return DPOConfig, DPOTrainer
