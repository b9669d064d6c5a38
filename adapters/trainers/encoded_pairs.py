"""Chosen and rejected answers as tokens, the same on every backend."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from adapters.shared.conversations import Encoded, answered, encode
from adapters.trainers.bad_results import some_must_be_learned
from domain.training import Row

SIDES = ("chosen", "rejected")


class EncodedPair(NamedTuple):
    """The prompt with either answer; learned are the answers' tokens."""

    chosen: Encoded
    rejected: Encoded


def encoded_pairs(tokenizer: Any, rows: Sequence[Row], *, max_length: int) -> list[EncodedPair]:
    """The pairs cut to so many tokens, without those of which that leaves no token of an answer.

    Raises `BadResult` where none are left.
    """
    pairs = [
        EncodedPair(*(encode(tokenizer, answered(row, side)).cut_to(max_length) for side in SIDES)) for row in rows
    ]
    some_must_be_learned([min(sum(side.learned[1:]) for side in pair) for pair in pairs], max_length=max_length)
    return [pair for pair in pairs if all(any(side.learned[1:]) for side in pair)]
