"""Whatever dies in the middle of a run: both sides come to one truthful end, the slot is free, and work goes on."""

import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from tests.journeys.conftest import Machine, eventually
from tests.journeys.test_stopping import BOTH_KINDS_IN_FULL, start

pytestmark = pytest.mark.journey

WORKER, SERVER = "infra.serving.prefect_process worker", "infra.serving.prefect_process server"


def _trains(machine: Machine, tiny: Path) -> UUID:
    """A short training that completes: a worker is there, and the slot is free."""
    run_id = start(machine, tiny, max_steps=2)
    assert machine.both_say(run_id, "completed", "COMPLETED", within=120).steps == 2
    return run_id


def _one(machine: Machine, words: str) -> psutil.Process:
    return eventually(lambda: next(iter(machine.processes(words)), None), within=30, what=words)


@BOTH_KINDS_IN_FULL
def test_a_killed_worker_is_started_again_and_its_run_comes_to_one_end(carried_by: Machine, tiny: Path) -> None:
    machine = carried_by
    run_id = start(machine, tiny, max_steps=300)
    machine.reached(run_id, 1)
    carrier, worker = machine.flow_process(run_id), _one(machine, WORKER)
    worker.kill()
    eventually(lambda: _one(machine, WORKER).pid != worker.pid, within=30, what="another worker")
    if machine.kind == "warm":
        # A warm run ends with its worker.
        carrier.wait(5)
        machine.both_say(run_id, "failed", "CRASHED")
        _trains(machine, tiny)
        return
    # A run in a fresh process goes on by itself, until it writes a line that nobody takes any more; as long as it
    # lives it keeps its slot, and nothing else trains beside it.
    after = start(machine, tiny, max_steps=2)
    first = machine.both_say(run_id, "failed", "CRASHED", within=150)
    second = machine.both_say(after, "completed", "COMPLETED", within=150)
    assert first.interrupted
    assert first.finished_at is not None
    assert second.started_at is not None
    assert first.finished_at < second.started_at


@pytest.mark.full  # a second machine, without the warm start
def test_a_run_that_outlived_its_worker_can_still_be_cancelled(stock: Machine, tiny: Path) -> None:
    run_id = start(stock, tiny)
    stock.reached(run_id, 1)
    carrier = stock.flow_process(run_id)
    _one(stock, WORKER).kill()
    assert stock.tmm("cancel", str(run_id)).returncode == 0
    stock.both_say(run_id, "cancelled", "CANCELLED")
    carrier.wait(20)
    _trains(stock, tiny)


@BOTH_KINDS_IN_FULL
def test_a_power_cut_interrupts_a_run_which_then_goes_on_where_it_was(carried_by: Machine, tiny: Path) -> None:
    machine = carried_by
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


@pytest.mark.full  # half a minute for each kind of worker
@pytest.mark.parametrize("carried_by", ["warm", "stock"], indirect=True)
def test_two_reconcilers_at_once_record_one_end_of_a_run_that_was_killed_with_its_worker(
    carried_by: Machine, tiny: Path
) -> None:
    machine = carried_by
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


@BOTH_KINDS_IN_FULL
def test_a_run_completes_while_the_server_is_started_again(carried_by: Machine, tiny: Path) -> None:
    machine = carried_by
    run_id = start(machine, tiny, max_steps=100)
    machine.reached(run_id, 2)
    _one(machine, SERVER).kill()
    assert machine.both_say(run_id, "completed", "COMPLETED", within=150).steps == 100


@pytest.mark.parametrize(
    ("carried_by", "seconds"),
    [
        ("warm", 0),
        pytest.param("stock", 0, marks=pytest.mark.full),
        pytest.param("warm", 60, marks=pytest.mark.full),
        pytest.param("stock", 60, marks=pytest.mark.full),
    ],
    indirect=["carried_by"],
)
def test_a_run_completes_while_prefect_does_not_answer_and_prefect_learns_it_afterwards(
    carried_by: Machine, seconds: float, tiny: Path
) -> None:
    machine = carried_by
    run_id = start(machine, tiny, max_steps=100)
    machine.reached(run_id, 2)
    server = _one(machine, SERVER)
    server.suspend()
    try:
        carrier = machine.flow_process(run_id)
        completed = machine.ended(run_id, within=150)
        assert completed.status == "completed"
        assert carrier.is_running()  # it still has to tell Prefect
        time.sleep(seconds)  # so long is nobody there whom it could tell
    finally:
        server.resume()
    machine.both_say(run_id, "completed", "COMPLETED")
    _trains(machine, tiny)
