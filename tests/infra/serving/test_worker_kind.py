"""How a machine's runs start: warm on Linux without a GPU, unless the setting says otherwise."""

from pathlib import Path

import pytest

from infra.serving import worker_kind
from infra.serving.worker_kind import WorkerKind, why_fresh
from infra.settings import Settings


@pytest.fixture
def a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sign = tmp_path / "nvidiactl"
    sign.touch()
    monkeypatch.setattr(worker_kind, "_SIGNS_OF_CUDA", (str(sign),))


@pytest.fixture
def no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_kind, "_SIGNS_OF_CUDA", (str(tmp_path / "nvidiactl"),))


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_runs_start_warm_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMM_WORKER", raising=False)
    assert why_fresh(Settings.from_environment().worker) is None


@pytest.mark.usefixtures("a_gpu")
def test_beside_a_gpu_the_warm_start_must_be_asked_for() -> None:
    assert why_fresh(WorkerKind.AUTO) == (
        "Runs start as fresh processes, because there is a GPU: set TMM_WORKER=warm to try the warm start here."
    )
    assert why_fresh(WorkerKind.WARM) is None


@pytest.mark.usefixtures("no_gpu")
def test_fresh_processes_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMM_WORKER", "stock")
    assert why_fresh(Settings.from_environment().worker) == (
        "Runs start as fresh processes, because TMM_WORKER is stock."
    )


@pytest.mark.parametrize("kind", [WorkerKind.AUTO, WorkerKind.WARM])
@pytest.mark.usefixtures("no_gpu")
def test_other_systems_get_fresh_processes_whatever_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, kind: WorkerKind
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert why_fresh(kind) == "This is not Linux, where alone runs can start warm. Runs start as fresh processes."
