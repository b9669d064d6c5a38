"""Direct preference optimisation (Rafailov et al. 2023): chosen answers become likelier than rejected ones, measured
against what the base model thought of both.

Loss of a pair with the margin h = log π(y_w)/ρ(y_w) − log π(y_l)/ρ(y_l): −log σ(βh) (arXiv:2305.18290, eq. 7), or as
`loss_type` says.
"""

from typing import Any

from adapters.trainers.common_options import (
    AdapterOptions,
    CheckpointOptions,
    EpochOptions,
    LengthOptions,
    MarginOptions,
    MemoryOptions,
    OptimiserOptions,
    ProcessOptions,
)
from adapters.trainers.torch.common.preferences import train_on_pairs
from adapters.trainers.torch.distributed import processes as several_processes
from domain.errors import InvalidConfigurationOptions
from domain.training import Progress, TrainingJob, TrainingResult


class Options(
    CheckpointOptions,
    ProcessOptions,
    MemoryOptions,
    AdapterOptions,
    LengthOptions,
    EpochOptions,
    MarginOptions,
    OptimiserOptions,
):
    """Pairs of answers, and the loss on the margin between them."""


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """Widen the margin between chosen and rejected answers, relative to the base model."""
    if options.all_processes > 1:
        return several_processes.train(__name__, job, options, progress)
    return train_here(job, options, progress)


def train_here(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """The training in this process, which may be one of several."""
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
        processes=options.all_processes,
        beta=options.beta,
        loss_type=options.loss_type,
        label_smoothing=options.label_smoothing,
    )


def _classes() -> tuple[type[Any], type[Any]]:
    from trl import DPOConfig, DPOTrainer

    return DPOConfig, DPOTrainer
