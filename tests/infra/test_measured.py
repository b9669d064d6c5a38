"""What a run took is kept beside it for later estimates; a pause after an interruption is no part of that."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.shared.training.training_progress import METRICS_FILE
from domain.ports import Device
from domain.runs.run_plan import Counted
from infra.trainings.preparing import MEASURED_FILE, note_measured

PLAN: Any = SimpleNamespace(trainer="sft", device=Device("cpu", "CPU"), counted=Counted(1e9, 0.1), parameters=9_000_000)


def told(folder: Path, moments: list[datetime]) -> None:
    lines = [{"step": step, "at": at.isoformat()} for step, at in enumerate(moments, start=1)]
    (folder / METRICS_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_resumed_run_is_measured_from_the_moment_in_which_it_went_on(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    a_day_ago = [now - timedelta(days=1, seconds=9 - n) for n in range(3)]
    went_on = now - timedelta(seconds=12)
    told(tmp_path, a_day_ago + [went_on + timedelta(seconds=4 + 2 * n) for n in range(4)])

    note_measured(tmp_path, PLAN, since=went_on)

    measured = json.loads((tmp_path / MEASURED_FILE).read_text())
    assert measured["seconds_a_step"] == pytest.approx(2.0)
    assert measured["seconds_beside"] == pytest.approx(12 - 4 * 2.0, abs=1.0)


def test_too_few_steps_since_then_tell_nothing(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    told(tmp_path, [now - timedelta(hours=2), now - timedelta(hours=1), now])

    note_measured(tmp_path, PLAN, since=now)

    assert not (tmp_path / MEASURED_FILE).exists()
