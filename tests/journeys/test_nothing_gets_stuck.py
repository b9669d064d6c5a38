"""Whatever dies in the middle of a run: both sides come to one truthful end, the slot is free, and work goes on."""

import subprocess
import sys
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from tests.journeys.conftest import Machine, eventually
from tests.journeys.test_stopping import start

pytestmark = pytest.mark.journey

WORKER, SERVER = "infra.prefect_process worker", "infra.prefect_process server"


def _trains(machine: Machine, tiny: Path) -> UUID:
    """A short training that completes: a worker is there, and the slot is free."""
    run_id = start(machine, tiny, max_steps=2)
    assert machine.both_say(run_id, "completed", "COMPLETED", within=120).steps == 2
    return run_id


def _one(machine: Machine, words: str) -> psutil.Process:
    return eventually(lambda: next(iter(machine.processes(words)), None), within=30, what=words)


def test_a_killed_worker_is_started_again_and_its_run_comes_to_one_end(machine: Machine, tiny: Path) -> None:
    run_id = start(machine, tiny)
    machine.reached(run_id, 1)
    _one(machine, WORKER).kill()
    # A warm run ends with its worker; a run of Prefect's own worker goes on, until somebody cancels it.
    carrier = machine.flow_process(run_id)
    try:
        carrier.wait(5)
        machine.both_say(run_id, "failed", "CRASHED")
    except psutil.TimeoutExpired:
        machine.prefect(
            "POST", f"/flow_runs/{run_id}/set_state", state={"type": "CANCELLING", "name": "Cancelling"}, force=True
        )
        machine.both_say(run_id, "cancelled", "CANCELLED")
        carrier.wait(20)
    _trains(machine, tiny)


def test_a_power_cut_interrupts_a_run_which_then_goes_on_where_it_was(machine: Machine, tiny: Path) -> None:
    run_id = start(machine, tiny, max_steps=400)
    machine.reached(run_id, 60)
    machine.kill()
    before = machine.run(run_id)
    assert before.status == "running"
    machine.start_up()
    interrupted = machine.both_say(run_id, "failed", "CRASHED")
    assert interrupted.interrupted
    assert "process is gone" in (interrupted.reason or "")
    _trains(machine, tiny)
    assert machine.prefect("GET", f"/flow_runs/{run_id}")["run_count"] == 1  # nothing started it again by itself

    resumed = machine.tmm("resume", str(run_id), "--json")
    assert resumed.returncode == 0, resumed.stderr
    completed = machine.both_say(run_id, "completed", "COMPLETED")
    assert completed.steps == 400
    told = machine.tmm("audit", "--run", str(run_id)).stdout
    assert "resumed" in told
    again = machine.tmm("resume", str(run_id))
    assert (again.returncode, "tmm rerun" in again.stderr) == (2, True)


def test_two_reconcilers_at_once_record_one_end_of_a_run_that_was_killed_with_its_worker(
    machine: Machine, tiny: Path
) -> None:
    run_id = start(machine, tiny)
    machine.reached(run_id, 1)
    carrier, worker = machine.flow_process(run_id), _one(machine, WORKER)
    worker.suspend()  # so that it does not see its run die
    carrier.kill()
    worker.kill()
    fixing = [
        subprocess.Popen(
            [sys.executable, "-m", "infra.main", "doctor", "--fix"],
            env=machine.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    for process in fixing:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said.decode()
    assert machine.both_say(run_id, "failed", "CRASHED").interrupted
    entries = machine.tmm("audit", "--run", str(run_id), "--action", "fail", "--format", "jsonl").stdout.splitlines()
    assert len(entries) == 1
    _trains(machine, tiny)


def test_a_run_completes_while_the_server_is_started_again(machine: Machine, tiny: Path) -> None:
    run_id = start(machine, tiny, max_steps=100)
    machine.reached(run_id, 2)
    _one(machine, SERVER).kill()
    assert machine.both_say(run_id, "completed", "COMPLETED", within=150).steps == 100


def test_a_run_completes_while_prefect_does_not_answer_and_prefect_learns_it_afterwards(
    machine: Machine, tiny: Path
) -> None:
    run_id = start(machine, tiny, max_steps=100)
    machine.reached(run_id, 2)
    server = _one(machine, SERVER)
    server.suspend()
    try:
        carrier = machine.flow_process(run_id)
        completed = machine.ended(run_id, within=150)
        assert completed.status == "completed"
        assert carrier.is_running()  # it still has to tell Prefect
    finally:
        server.resume()
    machine.both_say(run_id, "completed", "COMPLETED", within=90)
