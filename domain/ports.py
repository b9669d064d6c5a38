"""What the domain and the flows ask of the world; adapters fulfil it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from domain.method_spec import Backend
from domain.options import OptionValue
from domain.users import Entitlement

Row = Mapping[str, Any]


class Licences(Protocol):
    """Says what a user is entitled to, now."""

    def entitlement_of(self, user_name: str) -> Entitlement:
        """The entitlement of a user; noncommercial, with the reason, whenever a licence does not hold."""
        ...


@dataclass(frozen=True)
class Dataset:
    """Rows that a trainer can take, already checked, and the rows that are held out from training.

    Rows have one of these shapes: `messages`; `prompt` and `completion`; `text`; `prompt` and `answer`;
    `prompt`, `chosen` and `rejected`. Hashes are sha256 of the rows' canonical JSON.
    """

    name: str
    rows: Sequence[Row]
    held_out: Sequence[Row]
    rows_hash: str
    held_out_hash: str


@dataclass(frozen=True)
class BaseModel:
    """A base model that can be opened: a local folder or a hub id, and the hash of its files."""

    name: str
    source: str
    files_hash: str


@dataclass(frozen=True)
class TrainingJob:
    """All that a trainer needs to know. `folder` is the run's own; what it writes elsewhere is a fault."""

    run_id: UUID
    method: str
    trainer: str
    backend: Backend
    base_model: BaseModel
    dataset: Dataset
    options: Mapping[str, OptionValue]
    seed: int
    folder: Path
    device: str


@dataclass(frozen=True)
class TrainingResult:
    """What a trainer made: `folder` holds a model, or an adapter that goes on top of the base model.

    `metrics` are the last ones reported, `steps` the optimiser steps taken.
    """

    folder: Path
    is_adapter: bool
    steps: int
    metrics: Mapping[str, float]


class Progress(Protocol):
    """Where a trainer reports each optimiser step."""

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """`step` of `total` is done; metrics are finite numbers such as loss, reward, learning_rate."""
        ...


class Trainer(Protocol):
    """A piece of training code."""

    def train(self, job: TrainingJob, progress: Progress) -> TrainingResult:
        """Train. Raises `BadResult` when the outcome cannot be believed, `InvalidInput` for what it cannot take."""
        ...


@dataclass(frozen=True)
class Answer:
    """What a model said to one held-out prompt, beside what was expected."""

    prompt: str
    expected: str
    said: str
    right: bool


@dataclass(frozen=True)
class Evaluation:
    """One model measured on the held-out rows. `metrics` are shares (0 to 1) or losses (nats a token)."""

    metrics: Mapping[str, float]
    answers: Sequence[Answer]
