"""The first command: from nothing to a trained model, twice, and interrupted; nothing is left running."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.journeys.conftest import Machine, eventually

pytestmark = [pytest.mark.journey, pytest.mark.training]


@pytest.fixture
def demo_machine(tmp_path: Path) -> Machine:
    """A machine whose person has a Prefect of their own, which must not be touched."""
    theirs = tmp_path / "theirs"
    return Machine(
        tmp_path / "home",
        more={"PREFECT_API_URL": "http://127.0.0.1:1/api", "PREFECT_HOME": str(theirs), "PREFECT_PROFILE": "mine"},
    )


def _ours(machine: Machine) -> list[psutil.Process]:
    """Every living process that works on this data folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMM_HOME") == str(machine.home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_a_demo_that_is_interrupted_leaves_nothing_running_and_the_next_one_trains_and_shows_it(
    demo_machine: Machine,
) -> None:
    _interrupt(demo_machine)

    done = demo_machine.tmm("demo", within=300)
    assert done.returncode == 0, done.stderr
    assert "Held-out rows, accuracy:" in done.stdout
    before, after = (
        float(word.rstrip("%"))
        for word in done.stdout.split("Held-out rows, accuracy: ")[1].split("\n")[0].split()
        if word.endswith("%")
    )
    assert after > before + 20
    for shown in ("Three answers", "trained model", "requested a training with sft-demo", "Next", "tmm list"):
        assert shown in done.stdout
    assert "step " in done.stderr
    assert done.stderr.lower().count("sign in") == 1
    assert _ours(demo_machine) == []
    assert not (demo_machine.home.parent / "theirs").exists()
    assert demo_machine.tmm("runs").stdout.count("completed") == 1


def _interrupt(machine: Machine) -> None:
    """Start a demo, and press Ctrl-C when its run has a process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.main", "demo"],
        env=machine.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    eventually(lambda: any(machine.home.glob("runs/*/process.json")), within=180, what="a run's process")
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said.decode()
    assert b"Traceback" not in said
    assert _ours(machine) == []
    for status in ("requested", "running"):
        assert machine.tmm("runs", "--status", status).stdout == ""
