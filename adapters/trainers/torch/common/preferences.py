"""What trainers on trl that learn from pairs have in common: DPO and reward models."""

from collections.abc import Callable, Sequence
from typing import Any

from adapters.shared.conversations import answered, begin_of_answer, encode, prompt_ids
from adapters.shared.quiet import quiet
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
    reads_tokens: bool = True,
    processes: int = 1,
    **settings: Any,
) -> TrainingResult:
    """Train with one of trl's trainers, given by its config class and trainer class, on chosen and rejected answers.

    With `scores` the model gives a score in place of tokens. Where the trainer `reads_tokens`, rows are encoded here,
    as for every other training, and not by trl. `processes` share the rows of a step. `settings` are the config's own.
    """
    must_have_columns(job, COLUMNS, trainer=name)
    with quiet():
        from datasets import Dataset

        from adapters.trainers.torch.common import huggingface

        config_class, trainer_class = classes()
        model, tokenizer = huggingface.open_model(job, scores=scores)
        longest = huggingface.longest(model, options.max_length)
        if reads_tokens:
            dataset = _as_tokens(tokenizer, job.rows, longest=longest, scores=scores)
            trainer_class = reading_tokens(trainer_class)
        else:
            room = [max(0, longest - len(prompt_ids(tokenizer, row["prompt"]))) for row in job.rows]
            some_must_be_learned(room, max_length=longest)
            dataset = [{column: row[column] for column in COLUMNS} for row in job.rows]
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
            train_dataset=Dataset.from_list(dataset),
            processing_class=tokenizer,
            peft_config=adapter,
        )


def reading_tokens(trainer_class: type[Any]) -> type[Any]:
    """The same trainer of trl, for rows that are tokens already."""

    class ReadingTokens(trainer_class):  # type: ignore[misc]  # of a library without types
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    return ReadingTokens


def _as_tokens(tokenizer: Any, rows: Sequence[Row], *, longest: int, scores: bool) -> list[dict[str, list[int]]]:
    """The rows as tokens, without those of which nothing would be learned.

    A score is given at the end, so a reward model leaves out what is cut; others what has no room for an answer.
    """
    pairs = [[encode(tokenizer, answered(row, side)) for side in ("chosen", "rejected")] for row in rows]
    if scores:
        lengths = [max(len(side.ids) for side in pair) for pair in pairs]
        some_must_be_learned([max(0, longest + 1 - length) for length in lengths], max_length=longest)
        return [
            {"chosen_ids": chosen.ids, "rejected_ids": rejected.ids}
            for (chosen, rejected), length in zip(pairs, lengths, strict=True)
            if length <= longest
        ]
    begins = [min(begin_of_answer(side) for side in pair) for pair in pairs]
    some_must_be_learned([max(0, longest - begin) for begin in begins], max_length=longest)
    return [
        {"prompt_ids": chosen.ids[:begin], "chosen_ids": chosen.ids[begin:], "rejected_ids": rejected.ids[begin:]}
        for (chosen, rejected), begin in zip(pairs, begins, strict=True)
        if begin < longest
    ]
