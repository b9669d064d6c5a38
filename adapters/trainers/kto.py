"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024): answers that are each marked wanted or unwanted, unpaired.

Loss: λ − v with v = λ σ(β(r − z)) for wanted answers and λ σ(β(z − r)) for unwanted ones, where r = log π(y)/ρ(y) and
z is the mean divergence from the base model in the batch (arXiv:2402.01306, eq. 8).
"""

from typing import Any

from pydantic import Field

from adapters.conversations import prompt_ids
from adapters.quiet import quiet
from adapters.trainers.bad_results import some_must_be_learned
from adapters.trainers.common_options import (
    AdapterOptions,
    CheckpointOptions,
    EpochOptions,
    LengthOptions,
    MemoryOptions,
    OptimiserOptions,
    ReferenceOptions,
)
from adapters.trainers.shapes import must_have_columns
from domain.errors import InvalidConfigurationOptions, InvalidInput
from domain.training import Progress, TrainingJob, TrainingResult, changes

_COLUMNS = ("prompt", "completion", "label")


class Options(
    CheckpointOptions, MemoryOptions, AdapterOptions, LengthOptions, EpochOptions, ReferenceOptions, OptimiserOptions
):
    desirable_weight: float = Field(
        default=1.0, ge=0.0, le=100.0, description="Weight of wanted answers", json_schema_extra=changes("weights")
    )
    undesirable_weight: float = Field(
        default=1.0, ge=0.0, le=100.0, description="Weight of unwanted answers", json_schema_extra=changes("weights")
    )


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """Make wanted answers likelier and unwanted ones less likely, relative to the base model."""
    must_have_columns(job, _COLUMNS, trainer="kto")
    if len({row["label"] for row in job.rows}) < 2:
        raise InvalidInput("The trainer kto needs rows with label true and rows with label false; all are alike here.")
    if options.batch_size // options.gradient_accumulation_steps < 2:
        # Its estimate of the KL divergence pairs each prompt with another row's answer.
        raise InvalidConfigurationOptions(
            ["option 'batch_size' must be at least twice option 'gradient_accumulation_steps' for the trainer kto"]
        )
    with quiet():
        return _train(job, options, progress)


def _train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    from adapters.trainers import huggingface

    model, tokenizer = huggingface.open_model(job)
    longest = huggingface.longest(model, options.max_length)
    room: list[Any] = [max(0, longest - len(prompt_ids(tokenizer, row["prompt"]))) for row in job.rows]
    some_must_be_learned(room, max_length=longest)
    adapter = huggingface.adapter(options)
    return huggingface.run(
        KTOTrainer,
        job,
        progress,
        is_adapter=adapter is not None,
        model=model,
        args=KTOConfig(
            **huggingface.arguments(job, options, steps=huggingface.steps_of(options, job.rows)),
            disable_dropout=not options.lora_dropout,  # theirs would switch ours off too
            max_length=longest,
            beta=options.beta,
            desirable_weight=options.desirable_weight,
            undesirable_weight=options.undesirable_weight,
        ),
        train_dataset=Dataset.from_list([{column: row[column] for column in _COLUMNS} for row in job.rows]),
        processing_class=tokenizer,
        peft_config=adapter,
    )
