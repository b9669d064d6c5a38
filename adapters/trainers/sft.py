"""Supervised fine-tuning: the model learns to say what the demonstrations say. All weights, or a LoRA adapter."""

from typing import Literal

from pydantic import Field

from adapters.conversations import encode
from adapters.quiet import quiet
from adapters.trainers.bad_results import some_must_be_learned
from adapters.trainers.common_options import (
    CheckpointOptions,
    LengthOptions,
    LoraOptions,
    MemoryOptions,
    OptimiserOptions,
)
from domain.training import Progress, TrainingJob, TrainingResult


class Options(CheckpointOptions, MemoryOptions, LoraOptions, LengthOptions, OptimiserOptions):
    adapter: Literal["none", "lora"] = Field(default="none", description="Train all weights (none) or a LoRA adapter")


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """Minimise the mean negative log-likelihood of the assistant's tokens, or of all tokens of plain texts."""
    from adapters.trainers import huggingface

    huggingface.must_have_columns(job, ("messages",), ("prompt", "completion"), ("text",), trainer="sft")
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
        peft_config=_lora(options) if options.adapter == "lora" else None,
    )


def _lora(options: Options) -> object:
    from peft import LoraConfig

    return LoraConfig(
        task_type="CAUSAL_LM",
        target_modules="all-linear",
        r=options.lora_rank,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
    )
