"""Acts on what trainings made. One model at a time is opened here: two would not fit beside a training."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from domain.errors import InvalidRunRequest, NotFound
from domain.people.users import User
from domain.ports import Asked, ExportedModel
from domain.runs.comparison import compared
from domain.use_cases.results import AskRun, ComparedRuns, CompareRuns, ExportRun, RunFile
from domain.use_cases.trainings import ShownRun
from infra.wiring import Installation

_one_model = threading.Lock()


def compare(tmm: Installation, act: CompareRuns, _: User) -> ComparedRuns:
    runs = [tmm.service.training_run(run_id) for run_id in act.runs]
    steps = [tmm.steps_of(run) for run in runs]
    beside = tuple(compared(runs[0], run, steps[0], told) for run, told in zip(runs[1:], steps[1:], strict=True))
    shown = (ShownRun(run=run, steps=tuple(told)) for run, told in zip(runs, steps, strict=True))
    return ComparedRuns(runs=tuple(shown), beside=beside)


def ask(tmm: Installation, act: AskRun, _: User) -> Asked:
    run = tmm.service.training_run(act.run_id)
    with _one_model:
        return tmm.ask(run, act.questions, longest=act.longest, temperature=act.temperature, seed=act.seed)


def export(tmm: Installation, act: ExportRun, _: User) -> ExportedModel:
    run = tmm.service.training_run(act.run_id)
    with _one_model:
        return tmm.export(run, act.out)


def file(tmm: Installation, act: RunFile, _: User) -> Path:
    run = tmm.service.training_run(act.run_id)
    if run.artifact is None:
        raise InvalidRunRequest(f"Training run {run.run_id} has made nothing yet.")
    folder = tmm.artifacts.fetch(run.artifact).resolve()
    found = (folder / act.path).resolve()
    if not found.is_relative_to(folder) or not found.is_file():
        raise NotFound(f"Training run {run.run_id} has no file {act.path!r}.")
    return found


HANDLERS: dict[type, Callable[..., Any]] = {CompareRuns: compare, AskRun: ask, ExportRun: export, RunFile: file}
