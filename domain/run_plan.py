"""What a training would do and take, seen before it begins."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from domain.ports import Device
from domain.training_run import RunRequest


class Shape(StrEnum):
    """The shape of a dataset's rows, named by its columns."""

    PREFERENCES = "prompt, chosen and rejected"
    JUDGED = "prompt, completion and label"
    MESSAGES = "messages"
    DEMONSTRATIONS = "prompt and completion"
    QUESTIONS = "prompt and answer"
    PROMPTS = "prompt"
    TEXTS = "text"


@dataclass(frozen=True)
class Tokens:
    """Rows as tokens. `examined` of all rows were looked at; `limit` is what is kept of one, if any."""

    examined: int
    shortest: int
    median: int
    longest: int
    mean: float
    limit: int | None
    cut: int

    @property
    def cut_share(self) -> float:
        return self.cut / self.examined


@dataclass(frozen=True)
class Piece:
    """A part of a row's text as the model reads it, and whether it is learned."""

    text: str
    learned: bool


@dataclass(frozen=True)
class ShownRow:
    """A row as the model will see it. `name` tells which it is: «row 1», «row 1, chosen»."""

    name: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Counted:
    """What counting gives, before it is corrected: bytes, and seconds a step."""

    memory: float
    seconds_a_step: float


@dataclass(frozen=True)
class Estimate:
    """Bytes at the peak, seconds of the whole run and of a step; `runs` is how many measured ones corrected it."""

    memory: float
    seconds: float
    seconds_a_step: float
    runs: int


@dataclass(frozen=True)
class RunPlan:
    """What a training would do and take. Bytes, seconds, tokens; `warnings` are sentences for people."""

    request: RunRequest
    trainer: str
    options: Mapping[str, Any]
    device: Device
    shape: Shape
    rows: int
    held_out: int
    steps: int | None
    rows_a_step: int
    tokens: Tokens
    shown: tuple[ShownRow, ...]
    parameters: int
    trained: int
    counted: Counted
    estimate: Estimate
    memory_free: int
    disk_needed: float
    disk_free: int
    warnings: tuple[str, ...]
