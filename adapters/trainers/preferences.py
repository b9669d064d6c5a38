"""What trainers on trl that learn from pairs have in common: DPO and reward models."""

from collections.abc import Callable
from typing import Any

from adapters.conversations import encode, prompt_ids
from adapters.quiet import quiet
from adapters.trainers.bad_results import some_must_be_learned
from adapters.trainers.shapes import must_have_columns
from domain.training import Progress, Row, TrainingJob, TrainingResult

COLUMNS = ("prompt", "chosen", "rejected")


def train_on_pairs(
    name: str,
    job: TrainingJob,
    options: Any,
    progress: Progress,
    classes: Callable[[], tuple[type[Any], type[Any]]],
    *,
    scores: bool = False,
    processes: int = 1,
    **settings: Any,
) -> TrainingResult:
    """Train with one of trl's trainers, given by its config class and trainer class, on chosen and rejected answers.

    With `scores` the model gives a score in place of tokens. `processes` share the rows of a step. `settings` are the
    config's own.
    """
    must_have_columns(job, COLUMNS, trainer=name)
    with quiet():
        from datasets import Dataset

        from adapters.trainers import huggingface

        config_class, trainer_class = classes()
        model, tokenizer = huggingface.open_model(job, scores=scores)
        longest = huggingface.longest(model, options.max_length)
        lengths = [_length(tokenizer, row) if scores else len(prompt_ids(tokenizer, row["prompt"])) for row in job.rows]
        some_must_be_learned([max(0, longest + scores - length) for length in lengths], max_length=longest)
        adapter = huggingface.adapter(options, task="SEQ_CLS" if scores else "CAUSAL_LM")
        return huggingface.run(
            trainer_class,
            job,
            progress,
            is_adapter=adapter is not None,
            mean_over="pairs",
            model=model,
            args=config_class(
                **huggingface.arguments(
                    job, options, steps=huggingface.steps_of(options, job.rows), processes=processes
                ),
                max_length=longest,
                disable_dropout=not options.lora_dropout,  # theirs would switch ours off too
                **settings,
            ),
            train_dataset=Dataset.from_list([{column: row[column] for column in COLUMNS} for row in job.rows]),
            processing_class=tokenizer,
            peft_config=adapter,
        )


def _length(tokenizer: Any, row: Row) -> int:
    """Tokens of a row's longer conversation: a score is given at the end, so a reward model leaves out what is cut."""
    whole = ({"prompt": row["prompt"], "completion": row[answer]} for answer in ("chosen", "rejected"))
    return max(len(encode(tokenizer, said).ids) for said in whole)
