"""One training, started in every way there is: it ends the same on all sides."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.journeys.conftest import Machine

pytestmark = pytest.mark.journey

FEW_STEPS = {"max_steps": 3, "batch_size": 4}


def _flow_run(machine: Machine, **fields: Any) -> UUID:
    deployment = machine.prefect("GET", "/deployments/name/train/sft-demo-cuda")
    return UUID(machine.prefect("POST", f"/deployments/{deployment['id']}/create_flow_run", **fields)["id"])


def test_tmm_train_carries_a_run_from_its_request_to_its_artefact(machine: Machine, tiny: Path) -> None:
    settings = [f"{name}={value}" for name, value in FEW_STEPS.items()]
    done = machine.tmm(
        "train", "sft-demo", "--dataset", str(tiny), "--json", *[word for s in settings for word in ("--set", s)]
    )
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert (run["status"], run["options"]["max_steps"], run["reason"]) == ("completed", 3, None)
    assert (Path(run["artifact"]) / "model.safetensors").exists()
    assert set(run["before"]) == set(run["after"]) != set()
    entries = machine.tmm("audit", "--run", run["run_id"], "--format", "jsonl").stdout.splitlines()
    told = [(entry["actor"], entry["action"], entry["origin"]) for entry in map(json.loads, entries)]
    me = told[0][0]
    assert me != "prefect"
    assert told == [(me, "request", "command line"), (me, "start", "flow"), (me, "complete", "flow")]
    assert machine.prefect_state(UUID(run["run_id"]))["type"] == "COMPLETED"


def test_the_same_run_is_started_with_prefects_own_client(machine: Machine, tiny: Path) -> None:
    from prefect.deployments import run_deployment
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: machine.api_url, PREFECT_API_AUTH_STRING: machine.password}):
        flow_run = run_deployment(
            "train/sft-demo-cuda",
            parameters={"dataset": str(tiny), "options": FEW_STEPS},
            idempotency_key="asked for once",
            timeout=0,
        )
        again = run_deployment(
            "train/sft-demo-cuda",
            parameters={"dataset": str(tiny), "options": FEW_STEPS},
            idempotency_key="asked for once",
            timeout=0,
        )
    assert flow_run.id == again.id
    run = machine.ended(flow_run.id)
    assert (run.status, run.requested_by, run.steps) == ("completed", "prefect", 3)


def test_options_are_refused_in_the_flow_whatever_prefect_let_through(machine: Machine, tiny: Path) -> None:
    refused = [
        ({"options": {"warp": 9, "max_steps": 0}}, "'max_steps' must be at least 1"),
        ({"seed": "seven"}, "seed: must be a whole number"),
    ]
    runs = [
        _flow_run(machine, parameters={"dataset": str(tiny), **wrong}, enforce_parameter_schema=False)
        for wrong, _ in refused
    ]
    for run_id, (_, words) in zip(runs, refused, strict=True):
        state = machine.ends_in_prefect(run_id)
        assert state["type"] == "FAILED"
        assert words in state["message"]
    assert machine.tmm("runs", "show", str(runs[0])).returncode == 4


def test_wrong_parameters_are_refused_before_a_worker_starts(machine: Machine) -> None:
    deployment = machine.prefect("GET", "/deployments/name/train/sft-demo-cuda")
    for wrong in ({"options": {"warp": 9}}, {"options": {"max_steps": 0}}, {"learning_rate": 1}):
        response = machine.ask("POST", f"/deployments/{deployment['id']}/create_flow_run", parameters=wrong)
        assert response.status_code == 409, response.text


def test_a_failed_run_stays_failed_and_a_retry_says_what_to_do_instead(machine: Machine, tmp_path: Path) -> None:
    run_id = _flow_run(machine, parameters={"dataset": str(tmp_path / "nothing.jsonl")})
    failed = machine.both_say(run_id, "failed", "FAILED")
    assert "nothing.jsonl" in (failed.reason or "")
    machine.prefect(
        "POST", f"/flow_runs/{run_id}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"}, force=True
    )
    state = machine.ends_in_prefect(run_id, after_retry=True)
    assert state["type"] == "FAILED"
    assert f"tmm rerun {run_id}" in state["message"]
    assert machine.run(run_id).reason == failed.reason
