"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024): answers that are each marked wanted or unwanted, unpaired.

Loss: λ − v with v = λ σ(β(r − z)) for wanted answers and λ σ(β(z − r)) for unwanted ones, where r = log π(y)/ρ(y) and
z is the mean divergence from the base model in the batch (arXiv:2402.01306, eq. 8).
"""

from typing import Any

from pydantic import Field

from adapters.shared.conversations import begin_of_answer, encode
from adapters.shared.quiet import quiet
from adapters.shared.training.judged_answers import problem_with_labels, problem_with_pairs
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
from domain.errors import InvalidConfigurationOptions, InvalidDataset
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
    if (problem := problem_with_labels(job.rows)) is not None:
        raise InvalidDataset(problem)
    if (problem := problem_with_pairs(options.model_dump())) is not None:
        raise InvalidConfigurationOptions([problem])
    with quiet():
        return _train(job, options, progress)


def _train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    from adapters.trainers.torch.common import huggingface

    model, tokenizer = huggingface.open_model(job)
    longest = huggingface.longest(model, options.max_length)
    rows = [encode(tokenizer, row) for row in job.rows]
    begins = [begin_of_answer(row) for row in rows]
    some_must_be_learned([max(0, longest - begin) for begin in begins], max_length=longest)
    dataset = Dataset.from_list(
        [
            {"prompt_ids": row.ids[:begin], "completion_ids": row.ids[begin:], "label": labelled["label"]}
            for row, begin, labelled in zip(rows, begins, job.rows, strict=True)
            if begin < longest
        ]
    )
    adapter = huggingface.adapter(options)
    return huggingface.run(
        _reading_tokens(KTOTrainer),
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
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=adapter,
    )


def _reading_tokens(trainer_class: type[Any]) -> type[Any]:
    """The same trainer, for rows that are tokens already; each gets the answer of the row before it in the batch.

    From such mismatched pairs the divergence from the base model is estimated (section 3.2 of the paper).
    """

    class ReadingTokens(trainer_class):  # type: ignore[misc]  # of a library without types
        def _prepare_dataset(self, dataset: Any, _: Any, args: Any, *__: Any) -> Any:
            def mismatched(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
                answers = rows["completion_ids"]
                return {"KL_completion_ids": [answers[-1], *answers[:-1]]}

            return dataset.map(mismatched, batched=True, batch_size=args.per_device_train_batch_size)

    return ReadingTokens
