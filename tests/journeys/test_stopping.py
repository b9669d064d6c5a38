"""Runs that are given up, killed or left alone: both sides agree on one truthful end, and the next run starts."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from domain.audit.read_models import AuditQuery
from infra.operating_system_user import operating_system_user
from infra.wiring import Installation
from tests.journeys.conftest import Machine, eventually

pytestmark = pytest.mark.journey

BOTH_KINDS_IN_FULL = pytest.mark.parametrize(
    "carried_by", ["warm", pytest.param("stock", marks=pytest.mark.full)], indirect=True
)


def start(machine: Machine, tiny: Path, *, max_steps: int = 100_000) -> UUID:
    """A training that goes on until somebody stops it, or for so many steps."""
    settings = ["--set", f"max_steps={max_steps}", "--set", "batch_size=4"]
    done = machine.tmm("train", "sft-demo", "--dataset", str(tiny), "--no-wait", *settings)
    assert done.returncode == 0, done.stderr
    return UUID(done.stdout.strip())


def cancelled_by(machine: Machine, run_id: UUID) -> tuple[str, str]:
    """Whose cancellation is recorded, and where it was made."""
    with Installation(machine.settings) as tmm:
        (entry,) = tmm.auditing.entries(AuditQuery(run=run_id, action="cancel"))
        return entry.actor, entry.origin


@BOTH_KINDS_IN_FULL
def test_tmm_cancel_stops_a_run_and_says_who_did_it(carried_by: Machine, tiny: Path) -> None:
    machine = carried_by
    run_id = start(machine, tiny)
    process = machine.flow_process(run_id)
    machine.reached(run_id, 1)
    done = machine.tmm("cancel", str(run_id))
    assert done.returncode == 0, done.stderr
    run = machine.both_say(run_id, "cancelled", "CANCELLED")
    assert "tmm cancel" in (run.reason or "")
    assert cancelled_by(machine, run_id) == (operating_system_user(), "command line")
    process.wait(10)


def test_a_run_that_was_deleted_in_prefect_is_ended_when_it_is_cancelled(machine: Machine, tiny: Path) -> None:
    run_id = start(machine, tiny)
    process = machine.flow_process(run_id)
    machine.reached(run_id, 1)
    machine.prefect("DELETE", f"/flow_runs/{run_id}")

    done = machine.tmm("cancel", str(run_id))

    assert (done.returncode, done.stdout.strip()) == (0, f"Cancelled {run_id}.")
    process.wait(20)
    assert machine.run(run_id).status == "cancelled"
    after = start(machine, tiny, max_steps=2)
    assert machine.both_say(after, "completed", "COMPLETED").steps == 2


def test_a_run_that_a_program_asked_prefect_for_is_known_while_it_waits(machine: Machine, tiny: Path) -> None:
    deployment = machine.prefect("GET", "/deployments/name/train/sft-demo-cuda")["id"]

    def asked() -> UUID:
        parameters = {"dataset": str(tiny), "options": {"max_steps": 2, "batch_size": 4}}
        made = machine.prefect("POST", f"/deployments/{deployment}/create_flow_run", parameters=parameters)
        return UUID(made["id"])

    assert machine.tmm("pools", "pause", "cuda").returncode == 0
    try:
        shown, cancelled, noticed = asked(), asked(), asked()
        said = machine.tmm("runs", "show", str(shown), "--json")
        assert said.returncode == 0, said.stderr
        assert json.loads(said.stdout)["status"] == "requested"
        assert machine.tmm("cancel", str(cancelled)).returncode == 0
        machine.both_say(cancelled, "cancelled", "CANCELLED")

        # Nobody asks for this one; whoever looks after the workers notices it.
        eventually(lambda: machine.known_run(noticed), within=30, what="the request of the waiting run")
        machine.prefect("POST", f"/flow_runs/{noticed}/set_state", state={"type": "CANCELLED"}, force=True)
        machine.both_say(noticed, "cancelled", "CANCELLED")
    finally:
        assert machine.tmm("pools", "resume", "cuda").returncode == 0
    run = machine.both_say(shown, "completed", "COMPLETED")
    assert run.requested_by == "prefect"
    assert run.started_at is not None
    assert run.requested_at < run.started_at


@BOTH_KINDS_IN_FULL
def test_a_run_that_is_cancelled_in_the_ui_is_cancelled_here_too(carried_by: Machine, tiny: Path) -> None:
    machine = carried_by
    run_id = start(machine, tiny)
    process = machine.flow_process(run_id)
    machine.reached(run_id, 1)
    # This is what the button in Prefect's UI sends.
    written = {"type": "CANCELLING", "name": "Cancelling", "message": "root cancelled it with tmm cancel.\x1b[2J"}
    machine.prefect("POST", f"/flow_runs/{run_id}/set_state", state=written, force=True)
    run = machine.both_say(run_id, "cancelled", "CANCELLED")
    assert run.reason == "It was cancelled in Prefect. Prefect says: “root cancelled it with tmm cancel.\\x1b[2J”"
    assert cancelled_by(machine, run_id) == ("prefect", "flow")
    process.wait(10)


@BOTH_KINDS_IN_FULL
def test_a_run_that_is_suspended_in_the_ui_stops_and_goes_on_when_it_is_resumed(
    carried_by: Machine, tiny: Path
) -> None:
    machine = carried_by
    run_id = start(machine, tiny, max_steps=400)
    process = machine.flow_process(run_id)
    machine.reached(run_id, 60)
    # This is what the buttons in Prefect's UI send.
    until = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    details = {"pause_timeout": until, "pause_reschedule": True}
    suspended = {"type": "PAUSED", "name": "Suspended", "state_details": details}
    machine.prefect("POST", f"/flow_runs/{run_id}/set_state", state=suspended)
    process.wait(20)
    run = machine.both_say(run_id, "failed", "PAUSED")
    assert run.resumable
    assert run.reason == "It was suspended in Prefect."
    done = machine.tmm("train", "sft-demo", "--dataset", str(tiny), "--set", "max_steps=2")  # its place is free
    assert done.returncode == 0, done.stderr
    machine.both_say(run_id, "failed", "PAUSED")

    machine.prefect("POST", f"/flow_runs/{run_id}/resume")
    assert machine.both_say(run_id, "completed", "COMPLETED").steps == 400


@BOTH_KINDS_IN_FULL
def test_a_run_whose_process_is_killed_was_interrupted(carried_by: Machine, tiny: Path) -> None:
    machine = carried_by
    run_id = start(machine, tiny)
    machine.reached(run_id, 1)
    machine.flow_process(run_id).kill()
    assert machine.both_say(run_id, "failed", "CRASHED").interrupted
