"""Rows as tokens: how long they are, and what the limits would cut off."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from adapters.shared.conversations import Encoded, answered, asked_of, completed, encode, prompt_ids
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
    for number, row in examined(rows):
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


def encoded(tokenizer: Any, row: Row, shape: Shape, *, asks_only: bool) -> dict[str, Encoded]:
    """A row as tokens, by what it is called for people: a row of preferences has two sides.

    Raises `InvalidInput`, or what the chat template raises.
    """
    if asks_only:
        ids = prompt_ids(tokenizer, asked_of(row))
        return {"": Encoded(ids, [False] * len(ids))}
    if shape is Shape.PREFERENCES:
        return {side: encode(tokenizer, answered(row, side)) for side in ("chosen", "rejected")}
    return {"": encode(tokenizer, row)}


def examined(rows: Sequence[Row]) -> Iterator[tuple[int, Row]]:
    """All rows with their numbers, or of very many a sample by chance and the first row of every kind.

    Rows at equal distances would miss what recurs at that distance; what a chat template cannot write is a matter of
    which messages a row has, and of what is in them beside words.
    """
    numbers: Sequence[int] = range(len(rows))
    if len(rows) > MOST_EXAMINED:
        first_of_kind: dict[Any, int] = {}
        for number, row in enumerate(rows):
            first_of_kind.setdefault(_kind(row), number)
        sample = random.Random(0).sample(numbers, MOST_EXAMINED)
        numbers = sorted({*sample, *list(first_of_kind.values())[:MOST_EXAMINED]})
    for number in numbers:
        yield number + 1, rows[number]


def _kind(row: Row) -> tuple[Any, ...]:
    """What rows have in common that a chat template writes in the same way, or not at all."""
    return tuple(
        (column, tuple(_kind_of_message(message) for message in value[:_FIRST]) if isinstance(value, list) else ())
        for column, value in sorted(row.items())
    )


def _kind_of_message(message: Any) -> Any:
    if not isinstance(message, Mapping):
        return None
    return (message.get("role"), *sorted(name for name, value in message.items() if value))


# Longer conversations go on as they began.
_FIRST = 6


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
        longest = max(encoded(tokenizer, row, shape, asks_only=asks_only).values(), key=lambda side: len(side.ids))
    except Exception as error:  # chat templates raise what they like
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidDataset(
            f"Training row {number} cannot be written with the base model's chat template: {reason.rstrip('.')}. "
            "Change the row, or choose another base model."
        ) from None
    if asks_only:
        return longest.ids, 0
    return longest.ids, longest.learned.index(True) if any(longest.learned) else len(longest.ids)
