"""What is kept of runs, wherever it lies: in their artefact, or before there is one in their folder on this machine."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from adapters.artifacts.artifact_store import Artifacts
from adapters.prefect.progress import progress_line
from adapters.run_files.lines_told import LinesTold
from adapters.shared.training.training_progress import METRICS_FILE, numbers_of, steps_in
from domain.audit.read_models import Run
from domain.errors import NotFound
from domain.ports import Answer, Progressed
from infra.trainings.evaluations import evaluations_of

_OF_NO_MEASURE = ("step", "total")


class KeptRuns:
    """What is kept of runs. `folder` holds those that this machine carries, `artifacts` is asked for when needed."""

    def __init__(self, folder: Path, artifacts: Callable[[], Artifacts]) -> None:
        self._folder = folder
        self._artifacts = artifacts
        self._told = LinesTold()

    def steps_of(self, run: Run) -> Sequence[Mapping[str, float]]:
        """`step` and the metrics of every step that a run has reported; none where nothing is kept any more."""
        if run.artifact is not None and (kept := self._artifacts().read(run.artifact, METRICS_FILE)) is not None:
            return [numbers_of(told) for told in steps_in(kept)]
        return [numbers_of(line) for line in self._lines(run)]

    def progress_of(self, run: Run) -> Progressed | None:
        """How far a run has come, by the lines that this machine has of it; None where it has none, or all of them."""
        lines = self._lines(run)
        if not lines or lines[-1]["step"] >= lines[-1]["total"]:
            return None
        first, last = lines[0], lines[-1]
        passed = (datetime.fromisoformat(last["at"]) - datetime.fromisoformat(first["at"])).total_seconds()
        steps, total = last["step"] - first["step"], last["total"]
        left = passed / steps * (total - last["step"]) if steps else None
        metrics = {name: value for name, value in numbers_of(last).items() if name not in _OF_NO_MEASURE}
        return Progressed(share=last["step"] / total, line=progress_line(last["step"], total, metrics, left))

    def answers_of(self, run: Run) -> Sequence[Mapping[str, Any]]:
        """The sample answers that were given before and after a completed run."""
        if run.artifact is None or (kept := self._artifacts().read(run.artifact, "answers.json")) is None:
            return []
        answers: list[dict[str, Any]] = json.loads(kept)
        return answers or self._measured_later(run)

    def files_of(self, run: Run) -> Sequence[tuple[str, int]]:
        """The files of its artefact, with their sizes in bytes; none for one that would have to be fetched."""
        if run.artifact is None or "://" in run.artifact:
            return []
        try:
            folder = self._artifacts().fetch(run.artifact)
        except NotFound:
            return []
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        return [(file.relative_to(folder).as_posix(), file.stat().st_size) for file in files]

    def _measured_later(self, run: Run) -> Sequence[Mapping[str, Any]]:
        """The answers of a run that was measured after its artefact was stored, where this machine has them."""
        from adapters.run_files import side_by_side

        if (measured := evaluations_of(self._folder / str(run.run_id))) is None:
            return []
        before, after = ([Answer(**said) for said in measured[when]["answers"]] for when in ("before", "after"))
        return side_by_side(before, after)

    def _lines(self, run: Run) -> Sequence[Mapping[str, Any]]:
        return self._told.lines(self._folder / str(run.run_id) / METRICS_FILE)
