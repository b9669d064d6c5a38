"""Odds-ratio preference optimisation (Hong et al. 2024): demonstrations and preferences at once, with no reference.

Loss: that of demonstrations on the chosen answer, plus β times −log σ(log odds(y_w)/odds(y_l)) (arXiv:2403.07691,
eqs. 6 and 7).
"""

from pydantic import Field

from adapters.shared.quiet import quiet
from adapters.trainers.common_options import (
    AdapterOptions,
    CheckpointOptions,
    EpochOptions,
    LengthOptions,
    MemoryOptions,
    OptimiserOptions,
)
from adapters.trainers.encoded_pairs import SIDES, encoded_pairs
from adapters.trainers.shapes import must_have_columns
from domain.training import Progress, TrainingJob, TrainingResult, changes


class Options(CheckpointOptions, MemoryOptions, AdapterOptions, LengthOptions, EpochOptions, OptimiserOptions):
    learning_rate: float = Field(
        default=8e-6,
        ge=1e-8,
        le=1.0,
        description="AdamW step size at its highest",
        json_schema_extra=changes("weights"),
    )
    beta: float = Field(
        default=0.1,
        ge=0.0,
        le=100.0,
        description="Weight of the odds ratio beside the likelihood of chosen answers",
        json_schema_extra=changes("weights"),
    )


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    """Make chosen answers likely, and likelier than rejected ones by their odds."""
    must_have_columns(job, ("prompt", *SIDES), trainer="orpo")
    with quiet():
        from peft import get_peft_model
        from transformers import TrainingArguments
        from trl.trainer.utils import disable_dropout_in_model

        from adapters.trainers.odds_ratio import collated, trainer_class
        from adapters.trainers.torch.common import huggingface

        model, tokenizer = huggingface.open_model(job)
        pairs = encoded_pairs(tokenizer, job.rows, max_length=huggingface.longest(model, options.max_length))
        adapter = huggingface.adapter(options)
        if adapter is not None:
            model = get_peft_model(model, adapter)
            if options.gradient_checkpointing:
                model.enable_input_require_grads()
        if not options.lora_dropout:
            disable_dropout_in_model(model)
        return huggingface.run(
            trainer_class(options.beta),
            job,
            progress,
            is_adapter=adapter is not None,
            mean_over="pairs",
            model=model,
            args=TrainingArguments(
                **huggingface.arguments(job, options, steps=huggingface.steps_of(options, pairs)),
                remove_unused_columns=False,
            ),
            train_dataset=[{"pair": pair} for pair in pairs],
            data_collator=collated,
            processing_class=tokenizer,
        )
