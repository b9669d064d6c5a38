"""What was measured before and after a run, with the answers, in the run's folder on this machine."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from domain.ports import Evaluation

EVALUATIONS_FILE = "evaluations.json"


def write_evaluations(folder: Path, before: Evaluation, after: Evaluation) -> None:
    """Keep both in the run's folder."""
    (folder / EVALUATIONS_FILE).write_text(
        json.dumps({"before": _plain(before), "after": _plain(after)}, ensure_ascii=False, indent=1), encoding="utf-8"
    )


def evaluations_of(folder: Path) -> dict[str, Any] | None:
    """What was measured before and after, with the answers: `{before: {metrics, answers}, after: …}`, or None."""
    try:
        found: dict[str, Any] = json.loads((folder / EVALUATIONS_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def _plain(evaluation: Evaluation) -> dict[str, Any]:
    return {"metrics": dict(evaluation.metrics), "answers": [asdict(answer) for answer in evaluation.answers]}
