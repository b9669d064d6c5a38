"""Whether a process is gone is told by this machine, or of another one by its silence, while somebody listened."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest

from adapters.machines.run_process import this_process_runs
from domain.runs.flow_runs import Carried, CarriedAs
from infra.upkeep import reconciliation
from infra.upkeep.reconciliation import Reconciler

BEGAN = datetime(2026, 11, 24, 12, tzinfo=UTC)
SHOWN = Carried(run_id=UUID(int=7), as_=CarriedAs.RUNNING, name="Running", message="", since=BEGAN, attempt=1)
AGAIN = SHOWN.model_copy(update={"attempt": 2})
Listen = Callable[..., bool | None]


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Listen:
    """Looks at a moment (seconds) at a process that told of itself so many times; whether it lives, None: who knows."""
    heard = BEGAN
    tmm = SimpleNamespace(
        settings=SimpleNamespace(runs=tmp_path),
        flow_run_states=SimpleNamespace(last_sign_of_life=lambda _: heard),
    )
    reconciler = Reconciler(tmm)  # type: ignore[arg-type]  # a stand-in

    def look(at: float, times: int, shown: Carried = SHOWN) -> bool | None:
        nonlocal heard
        heard = BEGAN.replace(second=times)
        monkeypatch.setattr(reconciliation.time, "monotonic", lambda: at)
        return reconciler._lives(shown.run_id, None, shown, alone=False)

    return look


def test_a_process_that_is_silent_while_we_listen_is_gone(listen: Listen) -> None:
    assert [listen(at, 1) for at in (0, 10, 20, 30)] == [None] * 4
    assert listen(40, 1) is False


def test_a_process_that_tells_of_itself_is_not_gone(listen: Listen) -> None:
    assert {listen(at, at // 10) for at in range(0, 300, 10)} == {None}


def test_silence_while_prefect_was_away_tells_nothing(listen: Listen) -> None:
    listen(0, 1)
    assert listen(90, 1) is None
    assert [listen(at, 1) for at in (100, 110, 120)] == [None] * 3
    assert listen(130, 1) is False


def test_what_was_not_heard_of_an_attempt_does_not_count_for_the_next(listen: Listen) -> None:
    assert [listen(at, 1) for at in (0, 10, 20, 30)] == [None] * 4
    assert [listen(at, 1, AGAIN) for at in (40, 50, 60, 70)] == [None] * 4
    assert listen(80, 1, AGAIN) is False


def test_a_process_that_died_here_says_nothing_of_an_attempt_that_another_machine_has(
    listen: Listen, tmp_path: Path
) -> None:
    (folder := tmp_path / str(SHOWN.run_id)).mkdir()
    (folder / "process.json").write_text(json.dumps({"attempt": 1, "pid": os.getpid(), "began": 12345.0}))
    assert listen(0, 1) is False
    assert listen(10, 1, AGAIN) is None
    with this_process_runs(folder, 2):
        assert listen(20, 1, AGAIN) is True
