"""Rows as tokens: how long they are, and what the limits would cut off."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from adapters.conversations import completed, encode, prompt_ids, prompt_of
from adapters.quiet import quiet
from adapters.shared.opening import tokenizer_of
from domain.errors import InvalidBaseModel, InvalidDataset
from domain.run_plan import Shape, Tokens
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


def count(
    tokenizer: Any, rows: Sequence[Row], shape: Shape, *, asks_only: bool, limit: int | None, embedded: int = 0
) -> Tokens:
    """Count the tokens of the rows. Raises `InvalidDataset` when nothing would be left to learn from.

    The model has `embedded` tokens; 0 where that is not known. Raises `InvalidBaseModel` for one that it lacks.
    """
    lengths, cut, learnable = [], 0, False
    _must_embed([tokenizer.eos_token_id], tokenizer, embedded)
    for number, row in _suspected(tokenizer, rows, embedded):
        _must_embed(_tokens(tokenizer, row, number, shape, asks_only)[0], tokenizer, embedded)
    for number, row in _spread(rows):
        ids, begins = _tokens(tokenizer, row, number, shape, asks_only)
        _must_embed(ids, tokenizer, embedded)
        length = len(ids)
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


def _must_embed(ids: Sequence[int], tokenizer: Any, embedded: int) -> None:
    if embedded and (highest := max(ids, default=0)) >= embedded:
        raise InvalidBaseModel(
            f"The tokenizer of the base model knows the token {tokenizer.convert_ids_to_tokens(highest)!r} as number "
            f"{highest}, and the model's embedding ends at {embedded - 1}. Make it larger, with "
            "model.resize_token_embeddings(len(tokenizer)), save the model, and train that; or use the tokenizer that "
            "came with the model."
        )


def _suspected(tokenizer: Any, rows: Sequence[Row], embedded: int) -> Iterator[tuple[int, Row]]:
    """Rows in which something stands that the tokenizer may take for a token beyond the embedding."""
    beyond = [text for text, number in tokenizer.get_added_vocab().items() if embedded and number >= embedded]
    for number, row in enumerate(rows if beyond else (), start=1):
        written = json.dumps(row, ensure_ascii=False, default=str)
        if any(text in written for text in beyond):
            yield number, row


def _tokens(tokenizer: Any, row: Row, number: int, shape: Shape, asks_only: bool) -> tuple[list[int], int]:
    """A row's tokens, and after how many of them what is learned begins."""
    try:
        if asks_only:
            return prompt_ids(tokenizer, prompt_of(row)), 0
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
    return encoded.ids, encoded.learned.index(True) if any(encoded.learned) else len(encoded.ids)
