"""The acts on what trainings made: compare, ask, export, read its files."""

from pathlib import Path
from uuid import UUID

from pydantic import Field

from domain.ports import Asked, ExportedModel
from domain.runs.comparison import Comparison
from domain.use_cases.act import Act
from domain.use_cases.trainings import ShownRun
from domain.values import Value


class ComparedRuns(Value):
    """Runs side by side; each of `beside` holds the first run against the next ones, in their order."""

    runs: tuple[ShownRun, ...]
    beside: tuple[Comparison, ...]


class CompareRuns(Act[ComparedRuns]):
    """Hold runs against the first of them."""

    runs: tuple[UUID, ...] = Field(min_length=2, max_length=4)


class AskRun(Act[Asked]):
    """What the base model and a run's result say to the same questions; `longest` in tokens."""

    run_id: UUID
    questions: tuple[str, ...] = Field(min_length=1)
    longest: int = Field(default=256, ge=1, le=8192)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    seed: int = Field(default=0, ge=0, lt=2**31)


class ExportRun(Act[ExportedModel]):
    """Write the model of a completed run to a new folder."""

    run_id: UUID
    out: Path


class RunFile(Act[Path]):
    """A file of a run's artefact, as a path on this machine."""

    run_id: UUID
    path: str
