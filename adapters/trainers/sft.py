"""Supervised fine-tuning: the model learns to say what the demonstrations say. All weights, or a LoRA adapter."""

from adapters.conversations import encode
from adapters.quiet import quiet
from adapters.trainers.bad_results import some_must_be_learned
from adapters.trainers.common_options import (
    AdapterOptions,
    CheckpointOptions,
    LengthOptions,
    MemoryOptions,
    OptimiserOptions,
)
from adapters.trainers.shapes import must_have_columns
from domain.training import Progress, TrainingJob, TrainingResult


class Options(CheckpointOptions, MemoryOptions, AdapterOptions, LengthOptions, OptimiserOptions):
    """Demonstrations of any shape."""


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """Minimise the mean negative log-likelihood of the assistant's tokens, or of all tokens of plain texts."""
    must_have_columns(job, ("messages",), ("prompt", "completion"), ("text",), trainer="sft")
    with quiet():
        return _train(job, options, progress)


def _train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from adapters.trainers import huggingface

    model, tokenizer = huggingface.open_model(job)
    longest = huggingface.longest(model, options.max_length)
    rows = [encode(tokenizer, row).cut_to(longest) for row in job.rows]
    some_must_be_learned([sum(row.learned) for row in rows], max_length=longest)
    dataset = Dataset.from_dict(
        {
            "input_ids": [row.ids for row in rows],
            "labels": [
                [token if learned else -100 for token, learned in zip(row.ids, row.learned, strict=True)]
                for row in rows
            ],
        }
    )
    config = SFTConfig(
        **huggingface.arguments(job, options),
        max_length=None,  # cut above, where it is known which tokens are learned
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    return huggingface.run(
        SFTTrainer,
        job,
        progress,
        is_adapter=options.adapter == "lora",
        model=model,
        args=config,
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=huggingface.lora(options) if options.adapter == "lora" else None,
    )
