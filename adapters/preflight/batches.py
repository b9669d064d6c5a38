"""Whether the options' numbers go together, and with the number of rows."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from adapters.shared.training.epochs import steps_to_take
from adapters.shared.training.judged_answers import problem_with_labels, problem_with_pairs
from adapters.shared.training.shares import problem_with_shares
from domain.errors import InvalidConfigurationOptions, InvalidDataset
from domain.runs.run_plan import Tokens
from domain.training import Row

Options = Mapping[str, Any]


def must_add_up(options: Options, *, rows: int, asks_only: bool) -> None:
    """Raise `InvalidConfigurationOptions` or `InvalidDataset` for numbers with which no batch can be made."""
    problems = [
        f"option 'batch_size' ({options['batch_size']}) must be a multiple of option {part!r} ({options[part]})"
        for part in ("num_generations", "gradient_accumulation_steps", "mini_batch_size")
        if "batch_size" in options and part in options and options["batch_size"] % options[part]
    ]
    if not problems and (problem := problem_with_shares(options)) is not None:
        problems.append(problem)
    if problems:
        raise InvalidConfigurationOptions(problems)
    if asks_only and rows < (wanted := prompts_a_step(options)):
        raise InvalidDataset(
            f"One step asks {wanted} different prompts (batch_size {options['batch_size']}, "
            f"{options.get('num_generations', 1)} answers each), and there are only {rows} rows to train on. "
            "Lower batch_size, or give more rows."
        )


def must_tell_apart(options: Options, rows: Iterable[Row]) -> None:
    """Raise `InvalidConfigurationOptions` or `InvalidDataset` where judged answers cannot be told apart."""
    if (problem := problem_with_pairs(options)) is not None:
        raise InvalidConfigurationOptions([problem])
    if (problem := problem_with_labels(rows)) is not None:
        raise InvalidDataset(problem)


def prompts_a_step(options: Options) -> int:
    """How many different prompts one step asks, where answers are sampled."""
    return max(1, int(options.get("batch_size", 1)) // int(options.get("num_generations", 1)))


def rows_a_step(options: Options, tokens: Tokens, *, asks_only: bool) -> int:
    """How many rows, or answers, one step learns from; where rows are packed, about how many."""
    rows = int(options.get("batch_size", 1))
    if options.get("packing") and tokens.limit and not asks_only:
        rows = round(rows * max(1.0, tokens.limit / tokens.mean))
    return rows


def steps_of(options: Options, *, rows: int, rows_a_step: int) -> int | None:
    """How many optimiser steps are taken; None where only the method's own code knows."""
    if (most := options.get("max_steps")) is None:
        return None
    return steps_to_take(int(most), float(options.get("epochs", 0.0)), rows=rows, batch_size=rows_a_step)


def advice(options: Options, steps: int | None, *, rows_seen: int, rows: int) -> Iterator[str]:
    """What is allowed, and seldom meant."""
    warm_up, length = options.get("warmup_steps", 0), "epochs" if options.get("epochs") else "max_steps"
    if steps is not None and warm_up >= steps:
        yield (
            f"The learning rate rises for {warm_up} steps and the training has {steps}: it never reaches its highest. "
            f"Lower warmup_steps, or raise {length}."
        )
    every = options.get("save_steps")
    if steps is not None and every is not None and (every == 0 or every > steps) and steps >= _WORTH_KEEPING:
        yield "No checkpoint is kept on the way: if the run is interrupted, it begins again. Lower save_steps."
    if rows_seen > _OFTEN * rows:
        yield (
            f"Each row is seen about {rows_seen / rows:.0f} times, and a model that sees a row that often learns it by "
            f"heart. Lower {length}, or give more rows."
        )


_WORTH_KEEPING = 500
_OFTEN = 20
