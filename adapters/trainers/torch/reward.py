"""A reward model (Ouyang et al. 2022): from pairs it learns a score that is higher for what people would choose.

Loss of a pair: −log σ(r(y_w) − r(y_l)) (arXiv:2203.02155, eq. 1).
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
    ProcessOptions,
)
from adapters.trainers.torch.common.preferences import train_on_pairs
from adapters.trainers.torch.distributed import processes as several_processes
from domain.training import Progress, TrainingJob, TrainingResult, changes


class Options(
    CheckpointOptions, ProcessOptions, MemoryOptions, AdapterOptions, LengthOptions, EpochOptions, OptimiserOptions
):
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
    if options.all_processes > 1:
        return several_processes.train(__name__, job, options, progress)
    return train_here(job, options, progress)


def train_here(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """The training in this process, which may be one of several."""
    return train_on_pairs(
        "reward",
        job,
        options,
        progress,
        _classes,
        scores=True,
        processes=options.all_processes,
        center_rewards_coefficient=options.center_rewards_coefficient or None,
    )


def _classes() -> tuple[type[Any], type[Any]]:
    import torch
    from trl import RewardConfig, RewardTrainer

    class CountedByRows(RewardTrainer):  # type: ignore[misc]  # of a library without types
        """Its own figures are means of the processes' means, whatever number of rows each has."""

        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
            with torch.no_grad():
                chosen, rejected = outputs.logits.squeeze(-1).chunk(2)
                above = self.accelerator.gather(chosen - rejected)
            self._metrics["train"]["accuracy"][-1] = (above > 0).float().mean().item()
            self._metrics["train"]["margin"][-1] = above.mean().item()
            return (loss, outputs) if return_outputs else loss

    return RewardConfig, CountedByRows
