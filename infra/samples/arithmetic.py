"""Two-digit additions: a lesson that a very small language model can learn in seconds.

A right demonstration reasons digit by digit and then answers::

    47+38=  ->  <think>7+8=15 4+3+1=8</think><answer>85</answer>

The small base model has met such reasoning, but mostly it guesses. What the demos teach it is to reason in this
format before it answers. They do not teach better arithmetic.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Self

SPLIT_SEED = 7
HELD_OUT_PAIRS = 400

REASONED_SHARE = 0.32
GUESSED_SHARE = 0.46
UNTAGGED_SHARE = 0.18
LUCKY_GUESS_SHARE = 0.1
SLIPS = (-10, -1, 1, 10)

SMALLEST, LARGEST = 10, 99


@dataclass(frozen=True, order=True)
class Addition:
    """A sum of two numbers from 10 to 99, in the order in which it is asked."""

    left: int
    right: int

    @property
    def swapped(self) -> Self:
        """The same sum asked the other way round."""
        return type(self)(self.right, self.left)

    @property
    def question(self) -> str:
        """What the user asks, such as ``47+38=``."""
        return f"{self.left}+{self.right}="

    @property
    def answer(self) -> int:
        """The right sum."""
        return self.left + self.right

    @property
    def reasoning(self) -> str:
        """The ones with their sum, then the tens with the carry and theirs, such as ``7+8=15 4+3+1=8``."""
        tens_left, ones_left = divmod(self.left, 10)
        tens_right, ones_right = divmod(self.right, 10)
        ones = ones_left + ones_right
        carry = ones // 10
        return f"{ones_left}+{ones_right}={ones} {tens_left}+{tens_right}+{carry}={tens_left + tens_right + carry}"

    @property
    def demonstration(self) -> str:
        """The right reasoning and the right answer, in the format that the demos ask for."""
        return in_format(self.reasoning, self.answer)


@dataclass(frozen=True)
class Split:
    """The additions that may be trained on, and those that no model of ours has seen in either order."""

    train: tuple[Addition, ...]
    held_out: tuple[Addition, ...]


def in_format(reasoning: str, answer: int) -> str:
    """Reasoning and answer as the demos ask for them."""
    return f"<think>{reasoning}</think><answer>{answer}</answer>"


def split() -> Split:
    """Set 400 pairs of numbers aside, in both orders, and leave the rest for training.

    Holding out 47+38 while training on 38+47 would let a model score by remembering, because addition commutes.
    """
    pairs = [Addition(*pair) for pair in combinations_with_replacement(range(SMALLEST, LARGEST + 1), 2)]
    random.Random(SPLIT_SEED).shuffle(pairs)
    return Split(
        train=tuple(_in_both_orders(pairs[HELD_OUT_PAIRS:])),
        held_out=tuple(_in_both_orders(pairs[:HELD_OUT_PAIRS])),
    )


def messy_demonstration(addition: Addition, rng: random.Random) -> str:
    """One line of the corpus that the base model is pretrained on: a guess more often than anything else.

    Right reasoning has to be in it, or reinforcement would find nothing to reward; it has to be the exception, or
    there would be nothing to learn.
    """
    kind = rng.random()
    if kind < REASONED_SHARE:
        return addition.demonstration
    if kind < REASONED_SHARE + GUESSED_SHARE:
        lucky = rng.random() < LUCKY_GUESS_SHARE
        guess = addition.answer if lucky else rng.randint(2 * SMALLEST, 2 * LARGEST)
        return f"<answer>{guess}</answer>"
    if kind < REASONED_SHARE + GUESSED_SHARE + UNTAGGED_SHARE:
        return f"{addition.reasoning} so {addition.answer}"
    return in_format(addition.reasoning, addition.answer + rng.choice(SLIPS))


def _in_both_orders(pairs: Iterable[Addition]) -> Iterator[Addition]:
    for pair in pairs:
        yield pair
        if pair.left != pair.right:
            yield pair.swapped
