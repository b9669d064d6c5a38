"""What the domain and the flows ask of the world; adapters fulfil it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from domain.catalogue.method_spec import MethodCode
from domain.people.users import Entitlement
from domain.training import Row


class Licences(Protocol):
    """Says what a user is entitled to, now."""

    def entitlement_of(self, user_name: str) -> Entitlement:
        """The entitlement of a user; noncommercial, with the reason, whenever a licence does not hold."""
        ...


class CheckedCode(Protocol):
    """Knows the code of one's own that passed the check."""

    def must_be_checked(self, code: MethodCode) -> None:
        """Raise `InvalidMethod` unless this very code, with what it declares, was kept after the check."""
        ...


@dataclass(frozen=True)
class Dataset:
    """Rows that a trainer can take, already checked, and the rows that are held out from training.

    Rows have one of the shapes that `TrainingJob` names. Hashes are sha256 of the rows' canonical JSON. `remarks` are
    sentences for people about what it has that no row holds: columns, or files of a folder. `as_demonstrations` are the
    columns with which rows that are no demonstrations would be read as such: `prompt=question, completion=answer`.
    """

    name: str
    rows: Sequence[Row]
    held_out: Sequence[Row]
    rows_hash: str
    held_out_hash: str
    remarks: tuple[str, ...] = ()
    as_demonstrations: str = ""


@dataclass(frozen=True)
class BaseModel:
    """A base model that can be opened: a local folder or a hub id, and the hash of its files."""

    name: str
    source: str
    files_hash: str


@dataclass(frozen=True)
class Device:
    """What a machine trains on. `name` is torch's name for it, or `mlx`; `description` is for people."""

    name: str
    description: str


@dataclass(frozen=True)
class PoolQueue:
    """A queue of a work pool: a lower priority is served first; how many runs wait in it and are carried."""

    name: str
    priority: int
    paused: bool
    waiting: int
    running: int


@dataclass(frozen=True)
class WorkPool:
    """A backend's work pool, how many workers take trainings from it, and its queues as they are served."""

    name: str
    paused: bool
    workers: int
    queues: Sequence[PoolQueue]


@dataclass(frozen=True)
class Answer:
    """What a model said to one held-out prompt, beside what was expected; `right` is None where nobody can tell."""

    prompt: str
    expected: str
    said: str
    right: bool | None


@dataclass(frozen=True)
class Evaluation:
    """One model measured on the held-out rows. `metrics` are shares (0 to 1) or losses (nats a token)."""

    metrics: Mapping[str, float]
    answers: Sequence[Answer]


@dataclass(frozen=True)
class ExportedModel:
    """A model written to a folder; `merged` if that took an adapter and its base model together."""

    folder: Path
    merged: bool
    weights_hash: str
    warning: str | None


@dataclass(frozen=True)
class Asked:
    """What the base model and a run's result said to the same questions, in their order."""

    base: Sequence[str]
    result: Sequence[str]
    warning: str | None


@dataclass(frozen=True)
class Progressed:
    """How far a run under way has come, as its worker last told: `line` reads «step 12 of 100 · loss 1.23 · …».

    `share` is what is done of the training itself, from 0 to 1.
    """

    share: float
    line: str


@dataclass(frozen=True)
class Finding:
    """One claim of the contract of training code, and what came of trying it.

    `verdict` is `kept`, `broken`, or `not shown` where the code is taken at its word.
    """

    claim: str
    verdict: str
    words: str


@dataclass(frozen=True)
class KeptCode:
    """Code that was saved although it breaks claims of the contract: to be looked at and mended, never trained with.

    `hash` is its address, as for code that a method trains with; `at` is UTC.
    """

    hash: str
    at: datetime
    by: str
    broken: Sequence[str]
