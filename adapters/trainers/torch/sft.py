"""Supervised fine-tuning: the model learns to say what the demonstrations say. All weights, or a LoRA adapter.

Loss: −log p(token | what came before), the mean over all tokens that are learned: every answer of a conversation, the
completion of a prompt, or the whole text.
"""

from adapters.trainers.common_options import (
    AdapterOptions,
    CheckpointOptions,
    EpochOptions,
    LengthOptions,
    MemoryOptions,
    OptimiserOptions,
    PackingOptions,
    ProcessOptions,
)
from adapters.trainers.torch.common.demonstrations import train_on_demonstrations
from adapters.trainers.torch.distributed import processes as several_processes
from domain.training import Progress, TrainingJob, TrainingResult


class Options(
    CheckpointOptions,
    ProcessOptions,
    MemoryOptions,
    AdapterOptions,
    PackingOptions,
    LengthOptions,
    EpochOptions,
    OptimiserOptions,
):
    """Demonstrations of any shape."""


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """Minimise the mean negative log-likelihood of the assistant's tokens, or of all tokens of plain texts."""
    if options.all_processes > 1:
        return several_processes.train(__name__, job, options, progress)
    return train_here(job, options, progress)


def train_here(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """The training in this process, which may be one of several."""
    from adapters.trainers.torch.common.huggingface import adapter

    return train_on_demonstrations("sft", job, options, progress, adapter=adapter(options))
