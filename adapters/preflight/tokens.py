"""Rows as tokens: how long they are, and what the limits would cut off."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from adapters.shared.conversations import completed, encode, prompt_ids, prompt_of
from adapters.shared.opening import tokenizer_of
from adapters.shared.quiet import quiet
from domain.errors import InvalidBaseModel, InvalidDataset
from domain.runs.run_plan import Shape, Tokens
from domain.training import Row

# Enough to know the share that is cut to within three per cent; a million rows would take minutes.
MOST_EXAMINED = 1_000


@dataclass(frozen=True)
class TokenizerFacts:
    """What a tokenizer has of what trainings use."""

    tokenizer: Any
    has_template: bool
    has_padding: bool


def opened(name: str, source: str) -> TokenizerFacts:
    """The base model's tokenizer, completed as trainers complete it. Raises `InvalidBaseModel`."""
    with quiet():
        try:
            tokenizer = tokenizer_of(source)
        except Exception as error:  # every kind of tokenizer has its own
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InvalidBaseModel(f"The tokenizer of the base model {name} cannot be opened: {reason}") from None
    facts = TokenizerFacts(
        tokenizer,
        has_template=bool(getattr(tokenizer, "chat_template", None)),
        has_padding=tokenizer.pad_token_id is not None,
    )
    if tokenizer.eos_token_id is None:
        raise InvalidBaseModel(
            f"The tokenizer of the base model {name} has no token that ends a text (eos_token), so a model could not "
            "learn where to stop. Add one to its tokenizer_config.json."
        )
    completed(tokenizer)
    return facts


def count(tokenizer: Any, rows: Sequence[Row], shape: Shape, *, asks_only: bool, limit: int | None) -> Tokens:
    """Count the tokens of the rows. Raises `InvalidDataset` when nothing would be left to learn from."""
    lengths, cut, learnable = [], 0, False
    for number, row in _spread(rows):
        length, begins = _length(tokenizer, row, number, shape, asks_only)
        lengths.append(length)
        cut += limit is not None and length > limit
        learnable |= limit is None or begins < limit
    if limit is not None and (not learnable or (cut == len(lengths) and shape is not Shape.TEXTS)):
        what = "prompts" if asks_only else "rows"
        raise InvalidDataset(
            f"Of each row {limit} tokens are kept, and the {what} have {min(lengths)} to {max(lengths)}: every one "
            "would lose its end, and with it what is to be learned. Raise max_length if the base model has room for "
            "it, or give shorter rows."
            if not asks_only
            else f"The base model has room for prompts of {limit} tokens beside their answers, and the {what} have "
            f"{min(lengths)} to {max(lengths)}. Lower max_completion_length, or give shorter prompts."
        )
    return Tokens(
        examined=len(lengths),
        shortest=min(lengths),
        median=round(median(lengths)),
        longest=max(lengths),
        mean=sum(lengths) / len(lengths),
        limit=limit,
        cut=cut,
    )


def limit_of(options: Mapping[str, Any], positions: int | None, *, asks_only: bool) -> int | None:
    """How many tokens of a row, or of a prompt where answers are sampled, have their place."""
    if asks_only:
        return None if positions is None else positions - int(options.get("max_completion_length", 0))
    limits = [int(limit) for limit in (options.get("max_length"), positions) if limit]
    return min(limits) if limits else None


def _spread(rows: Sequence[Row]) -> Iterator[tuple[int, Row]]:
    """All rows, or of very many a sample by chance: rows at equal distances would miss what recurs at that distance."""
    numbers = range(len(rows))
    chosen = numbers if len(rows) <= MOST_EXAMINED else sorted(random.Random(0).sample(numbers, MOST_EXAMINED))
    for number in chosen:
        yield number + 1, rows[number]


def _length(tokenizer: Any, row: Row, number: int, shape: Shape, asks_only: bool) -> tuple[int, int]:
    """A row's tokens, and after how many of them what is learned begins."""
    try:
        if asks_only:
            return len(prompt_ids(tokenizer, prompt_of(row))), 0
        if shape is Shape.PREFERENCES:
            pairs = [{"prompt": row["prompt"], "completion": row[side]} for side in ("chosen", "rejected")]
            encoded = max((encode(tokenizer, pair) for pair in pairs), key=lambda pair: len(pair.ids))
        else:
            encoded = encode(tokenizer, row)
    except Exception as error:  # chat templates raise what they like
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidDataset(
            f"Training row {number} cannot be written with the base model's chat template: {reason}. Change the row, "
            "or choose another base model."
        ) from None
    return len(encoded.ids), encoded.learned.index(True) if any(encoded.learned) else len(encoded.ids)
