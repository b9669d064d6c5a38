"""The contract of training code: what it is given, where it reports, and what it gives back.

A trainer is a module with a pydantic model `Options`, whose fields are the options that it honours, and a function
`train(job, options, progress) -> TrainingResult`. Nothing else of ours has to be imported to write one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import UUID

from domain.catalogue.method_spec import Backend
from domain.errors import BadResult, InvalidInput

__all__ = [
    "BadResult",
    "Changed",
    "Checkpoints",
    "InvalidInput",
    "Progress",
    "Row",
    "Trainer",
    "TrainingJob",
    "TrainingResult",
    "changes",
]

Row = Mapping[str, Any]

Changed = Literal["weights", "steps", "metrics", "checkpoints", "artifact", "memory"]
"""What an option can visibly change: the final weights, how many steps are reported, what is reported at a step, which
checkpoints are kept, the files of the artefact, or only the cost (`memory`, which `tmm check` takes at its word)."""


def changes(
    what: Changed, *, tried: float | bool | str | None = None, beside: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What an option visibly changes, so that `tmm check` can see that it is honoured.

    For `Field(8, ge=1, le=64, description="…", json_schema_extra=changes("weights"))`. `tried` is the value to compare
    with the default where the nearest other one would not show anything; `beside` are the values that other options
    need for this one to matter.
    """
    return {"changes": what, "tried": tried, "beside": dict(beside or {})}


class Checkpoints(Protocol):
    """Where a run keeps what it needs to go on after it was interrupted. Only the newest few are kept."""

    def save(self, step: int, write: Callable[[Path], None]) -> None:
        """Keep the state after `step` optimiser steps: `write` fills a fresh folder, which then counts as a whole.

        Whatever kills the process on the way leaves the checkpoint before it in place.
        """
        ...

    def newest(self) -> tuple[int, Path] | None:
        """The newest whole checkpoint, as its step and its folder; None for a run that begins."""
        ...


@dataclass(frozen=True)
class Meeting:
    """Where the machines that share a training find one another: machine 0 listens at this address and TCP port.

    Machine 0 asks now and then whether `all_are_there`; that raises `MachineMissing` when they are not.
    """

    address: str
    port: int
    machines: int
    machine: int
    all_are_there: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class TrainingJob:
    """All that training code needs to know.

    `base_model` is what `from_pretrained` and `mlx_lm.load` take: a local folder or a hub id. Rows have one of the
    shapes `messages`; `prompt` and `completion`; `text`; `prompt` and `answer` (with whatever else a reward needs);
    `prompt`, `chosen` and `rejected`; `prompt`, `completion` and `label`. `held_out` rows are for measuring only.
    `device` is torch's name of the device (`cuda`, `cpu`), or `mlx`. `folder` is the run's own: nothing is written
    elsewhere. The same job with the same seed on the same machine gives the same weights. `meeting` is there for
    trainers that share a training among machines.
    """

    run_id: UUID
    method: str
    backend: Backend
    device: str
    base_model: str
    rows: Sequence[Row]
    held_out: Sequence[Row]
    seed: int
    folder: Path
    checkpoints: Checkpoints
    meeting: Meeting | None = None


@dataclass(frozen=True)
class TrainingResult:
    """What came of it: `folder` holds a model with its tokenizer, or an adapter that goes on top of the base model.

    `steps` counts the optimiser steps of the whole run, before an interruption and after it; `metrics` are the last
    ones reported.
    """

    folder: Path
    is_adapter: bool
    steps: int
    metrics: Mapping[str, float]


class Progress(Protocol):
    """Where training code reports each optimiser step."""

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """`step` of `total` is done. Metrics are numbers such as loss, reward, learning_rate, grad_norm.

        Raises `BadResult` when a metric is not finite, and whatever stops a cancelled run: let it through.
        """
        ...


class Trainer(Protocol):
    """A module of training code, as the service calls it."""

    @property
    def Options(self) -> type[Any]:
        """The pydantic model of the options."""
        ...

    def train(self, job: TrainingJob, options: Any, progress: Progress) -> TrainingResult:
        """Train. Raises `BadResult` for an outcome that cannot be believed, `InvalidInput` for what it cannot take."""
        ...
