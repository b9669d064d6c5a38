"""The audit log in the Prefect UI: a report that a person can read, and checkpoints on a schedule."""

import json
from typing import Any
from uuid import UUID

import pytest

from tests.journeys.conftest import Machine

pytestmark = pytest.mark.journey


def _run(machine: Machine, flow: str, **parameters: Any) -> UUID:
    deployment = machine.prefect("GET", f"/deployments/name/{flow}/{flow}")
    made = machine.prefect("POST", f"/deployments/{deployment['id']}/create_flow_run", parameters=parameters)
    assert machine.ends_in_prefect(UUID(made["id"]))["type"] == "COMPLETED"
    return UUID(made["id"])


def test_an_audit_report_is_an_artifact_that_a_person_can_read(machine: Machine) -> None:
    run_id = _run(machine, "audit-report", days=1)
    (artifact,) = machine.prefect("POST", "/artifacts/filter", artifacts={"flow_run_id": {"any_": [str(run_id)]}})
    assert "# The audit log of 1 day\n" in artifact["data"]
    assert "installer preinstalled SFT-Demo (sft)" in artifact["data"]
    assert "| preinstall | 4 |" in artifact["data"]


def test_a_checkpoint_is_made_by_its_flow_which_has_a_schedule(machine: Machine) -> None:
    deployment = machine.prefect("GET", "/deployments/name/make-checkpoint/make-checkpoint")
    assert [schedule["active"] for schedule in deployment["schedules"]] == [True]
    _run(machine, "make-checkpoint")
    (made,) = map(json.loads, machine.tmm("audit", "--action", "checkpoint", "--format", "jsonl").stdout.splitlines())
    assert (made["actor"], made["origin"]) == ("prefect", "flow")
    assert (machine.home / "checkpoints" / "checkpoint-00000001.json").exists()
    verified = machine.tmm("audit", "verify")
    assert (verified.returncode, "1 checkpoint vouches for it" in verified.stdout) == (0, True)
