"""What is kept of runs, wherever it lies: in their artefact, or before there is one in their folder on this machine."""

import json
from typing import TYPE_CHECKING, Any

from domain.read_models import Run
from infra.training_progress import METRICS_FILE, numbers_of, steps_in, steps_told

if TYPE_CHECKING:
    from infra.wiring import Installation


def steps_of(installation: "Installation", run: Run) -> list[dict[str, float]]:
    """`step` and the metrics of every step that a run has reported; none where nothing is kept any more."""
    if run.artifact is not None and (kept := installation.artifacts.read(run.artifact, METRICS_FILE)) is not None:
        return [numbers_of(told) for told in steps_in(kept)]
    return steps_told(installation.settings.runs / str(run.run_id))


def answers_of(installation: "Installation", run: Run) -> list[dict[str, Any]]:
    """The sample answers that were given before and after a completed run."""
    if run.artifact is None or (kept := installation.artifacts.read(run.artifact, "answers.json")) is None:
        return []
    answers: list[dict[str, Any]] = json.loads(kept)
    return answers
