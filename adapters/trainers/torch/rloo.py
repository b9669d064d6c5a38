"""REINFORCE leave-one-out (Ahmadian et al. 2024): an answer's baseline is the mean reward of the prompt's others.

Loss: −A log π(y), where A is the answer's reward less the mean of the other answers to its prompt (arXiv:2402.14740,
eq. 8).
"""

from typing import Any

from pydantic import Field

from adapters.trainers.common_options import (
    AdapterOptions,
    CheckpointOptions,
    MemoryOptions,
    OptimiserOptions,
    PolicyGradientOptions,
    ProcessOptions,
    RewardModelOptions,
    SamplingOptions,
)
from adapters.trainers.torch.distributed import processes as several_processes
from adapters.trainers.verifiable_rewards import train_on_rewards
from domain.training import Progress, TrainingJob, TrainingResult, changes


class Options(
    CheckpointOptions,
    ProcessOptions,
    MemoryOptions,
    AdapterOptions,
    RewardModelOptions,
    SamplingOptions,
    PolicyGradientOptions,
    OptimiserOptions,
):
    normalize_advantages: bool = Field(
        default=False,
        description="Scale the advantages of a batch to deviation 1",
        json_schema_extra=changes("weights"),
    )


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """Maximise the rewards of sampled answers, each against the mean of the same prompt's other answers."""
    if options.all_processes > 1:
        return several_processes.train(__name__, job, options, progress)
    return train_here(job, options, progress)


def train_here(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """The training in this process, which may be one of several."""
    return train_on_rewards(
        "rloo",
        job,
        options,
        progress,
        _classes,
        processes=options.all_processes,
        beta=options.beta,
        epsilon=options.epsilon,
        num_iterations=options.num_iterations,
        normalize_advantages=options.normalize_advantages,
    )


def _classes() -> tuple[type[Any], type[Any]]:
    from trl import RLOOConfig, RLOOTrainer

    return RLOOConfig, RLOOTrainer
