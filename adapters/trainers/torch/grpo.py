"""Group Relative Policy Optimization (Shao et al. 2024): of several answers to a prompt, those better than their
group's mean become likelier and the others less likely, without a value model.

Loss: the clipped objective −min(ρ̂A, clip(ρ̂, 1−ε, 1+ε)A) of each token, where A is the answer's reward less its
group's mean, over the group's standard deviation, and ρ̂ the token's likelihood over that when it was sampled
(arXiv:2402.03300, eqs. 3 and 4).
"""

from typing import Any, Literal

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
    loss_type: Literal["dapo", "grpo", "dr_grpo", "bnpo"] = Field(
        default="dapo",
        description="How tokens are weighted: alike in the whole batch (dapo, bnpo), in their answer (grpo), by the "
        "longest answer (dr_grpo)",
        json_schema_extra=changes("weights"),
    )
    scale_rewards: Literal["group", "batch", "none"] = Field(
        default="group",
        description="Whose standard deviation the advantages are divided by",
        json_schema_extra=changes("weights", beside={"batch_size": 16}),
    )


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """Maximise the rewards of sampled answers, relative to those of the same prompt's other answers."""
    if options.all_processes > 1:
        return several_processes.train(__name__, job, options, progress)
    return train_here(job, options, progress)


def train_here(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """The training in this process, which may be one of several."""
    return train_on_rewards(
        "grpo",
        job,
        options,
        progress,
        _classes,
        processes=options.all_processes,
        beta=options.beta,
        epsilon=options.epsilon,
        num_iterations=options.num_iterations,
        loss_type=options.loss_type,
        scale_rewards=options.scale_rewards,
    )


def _classes() -> tuple[type[Any], type[Any]]:
    from trl import GRPOConfig, GRPOTrainer

    return GRPOConfig, GRPOTrainer
