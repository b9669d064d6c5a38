"""Whether a run's process on another machine is gone is told by its silence, while somebody listened."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest

from domain.carrying import Carried, CarriedAs
from infra import reconciliation
from infra.reconciliation import Reconciler

BEGAN = datetime(2026, 11, 24, 12, tzinfo=UTC)
SHOWN = Carried(run_id=UUID(int=7), as_=CarriedAs.RUNNING, name="Running", message="", since=BEGAN)
Listen = Callable[[float, int], bool | None]


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Listen:
    """Looks at a moment (seconds) at a process that told of itself so many times; whether it lives, None: who knows."""
    heard = BEGAN
    tmm = SimpleNamespace(
        settings=SimpleNamespace(runs=Path("runs")),
        carrying=SimpleNamespace(last_sign_of_life=lambda _: heard),
    )
    monkeypatch.setattr(reconciliation, "is_carried", lambda _: None)  # it is no process of this machine
    reconciler = Reconciler(tmm)  # type: ignore[arg-type]  # a stand-in

    def look(at: float, times: int) -> bool | None:
        nonlocal heard
        heard = BEGAN.replace(second=times)
        monkeypatch.setattr(reconciliation.time, "monotonic", lambda: at)
        return reconciler._lives(SHOWN.run_id, None, SHOWN, alone=False)

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
