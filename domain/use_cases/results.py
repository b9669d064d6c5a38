"""The acts on what trainings made: compare, ask, export, measure, read its files. One model at a time is opened."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol
from uuid import UUID

from pydantic import Field

from domain.audit.read_models import Run
from domain.errors import InvalidRunRequest, NotFound
from domain.people.users import User
from domain.ports import Asked, Evaluation, ExportedModel
from domain.runs.comparison import Comparison, compared
from domain.runs.training_runs import TrainingRuns
from domain.use_cases.act import Act
from domain.use_cases.runs import KeptOfRuns, ShownRun
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


class MeasureRun(Act[Run]):
    """Measure a run that completed unmeasured, on this machine; the run as it stands then.

    Raises `NothingToMeasure`, or `InvalidDataset` or `InvalidBaseModel` where these are not any more what they were.
    """

    run_id: UUID


class RunFile(Act[Path]):
    """A file of a run's artefact, as a path on this machine."""

    run_id: UUID
    path: str


class Models(Protocol):
    """What can be done with the models that runs made. Each raises `InvalidInput` for a run that made none."""

    def export(self, run: Run, out: Path) -> ExportedModel:
        """Write the model to a new folder."""
        ...

    def ask(self, run: Run, questions: Sequence[str], *, longest: int, temperature: float, seed: int) -> Asked:
        """What the base model and the result say to the questions."""
        ...

    def measured(self, run: Run) -> tuple[Evaluation, Evaluation]:
        """Base model and result measured on the held-out rows that the run began with, and kept on this machine."""
        ...

    def folder_of(self, run: Run) -> Path:
        """The folder of the run's artefact, as it lies on this machine."""
        ...


class Results:
    """Does these acts."""

    def __init__(self, runs: TrainingRuns, kept: KeptOfRuns, models: Models) -> None:
        self._runs = runs
        self._kept = kept
        self._models = models
        self._one_model = threading.Lock()  # two would not fit beside a training

    def compare(self, act: CompareRuns, _: User, __: UUID | None = None) -> ComparedRuns:
        """Hold runs against the first of them. None needs to have come to its end."""
        runs = [self._runs.one(run_id) for run_id in act.runs]
        steps: list[Sequence[Mapping[str, float]]] = [self._kept.steps_of(run) for run in runs]
        beside = tuple(compared(runs[0], run, steps[0], told) for run, told in zip(runs[1:], steps[1:], strict=True))
        shown = (ShownRun(run=run, steps=tuple(told)) for run, told in zip(runs, steps, strict=True))
        return ComparedRuns(runs=tuple(shown), beside=beside)

    def ask(self, act: AskRun, _: User, __: UUID | None = None) -> Asked:
        """What both models say."""
        run = self._runs.one(act.run_id)
        with self._one_model:
            return self._models.ask(run, act.questions, longest=act.longest, temperature=act.temperature, seed=act.seed)

    def export(self, act: ExportRun, _: User, __: UUID | None = None) -> ExportedModel:
        """Write the model to a new folder."""
        run = self._runs.one(act.run_id)
        with self._one_model:
            return self._models.export(run, act.out)

    def measure(self, act: MeasureRun, by: User, command_id: UUID | None = None) -> Run:
        """Measure a run that completed unmeasured, and record it."""
        self._runs.must_lack_measures(act.run_id)
        with self._one_model:
            before, after = self._models.measured(self._runs.one(act.run_id))
        self._runs.measure(act.run_id, before=before.metrics, after=after.metrics, by=by, command_id=command_id)
        return self._runs.one(act.run_id)

    def file(self, act: RunFile, _: User, __: UUID | None = None) -> Path:
        """A file of its artefact."""
        run = self._runs.one(act.run_id)
        if run.artifact is None:
            raise InvalidRunRequest(f"Training run {run.run_id} has made nothing yet.")
        folder = self._models.folder_of(run).resolve()
        found = (folder / act.path).resolve()
        if not found.is_relative_to(folder) or not found.is_file():
            raise NotFound(f"Training run {run.run_id} has no file {act.path!r}.")
        return found
