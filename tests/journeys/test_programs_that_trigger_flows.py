"""The guide's examples for programs run as they are written there."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from infra.acting_for import issue_token
from infra.settings import CHECKOUT
from infra.wiring import Installation
from tests.journeys.conftest import Machine, eventually

pytestmark = pytest.mark.journey

EXAMPLES = re.findall(
    r"```(bash|python)\n(.*?)```",
    (CHECKOUT / "infra" / "guide" / "programs.md").read_text(encoding="utf-8"),
    flags=re.DOTALL,
)


def _example(machine: Machine, folder: Path, language: str, word: str) -> str:
    """Run the example of this language that has this word; what it prints."""
    code = next(code for spoken, code in EXAMPLES if spoken == language and word in code)
    tmm = folder / "tmm"
    tmm.write_text(f'#!/bin/sh\nexec {sys.executable} -m infra.main "$@"\n')
    tmm.chmod(0o755)
    environment = machine.environment | {"PREFECT_HOME": str(folder / "prefect")}
    environment["PATH"] = f"{folder}:{Path(sys.executable).parent}:{environment['PATH']}"
    first = next(code for spoken, code in EXAMPLES if spoken == "bash" and "tmm env" in code)
    program = code if language == "bash" else f"exec python -c {shlex.quote(code)}"
    done = subprocess.run(
        ["bash", "-euc", f"{first}\n{program}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _runs_with_key(machine: Machine, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = machine.prefect(
        "POST", "/flow_runs/filter", flow_runs={"idempotency_key": {"any_": [key]}}
    )
    return found


def test_the_readmes_examples_run_as_they_are_written(machine: Machine, tmp_path: Path) -> None:
    machine.prefect("PATCH", "/work_pools/cuda", is_paused=True)
    try:
        for language, word, key in (("bash", "curl", "nightly-1"), ("python", "run_deployment", "nightly-2")):
            for _ in range(2):  # the same key never trains twice
                _example(machine, tmp_path, language, word)
            (run,) = _runs_with_key(machine, key)
            machine.tmm("cancel", run["id"])
            machine.prefect("POST", f"/flow_runs/{run['id']}/set_state", state={"type": "CANCELLED"}, force=True)
        asked = _example(machine, tmp_path, "bash", "tmm train")
        waiting = UUID(re.findall(r'"run_id": "([^"]+)"', asked)[0])
        assert machine.tmm("cancel", str(waiting)).returncode == 0
        schedules = machine.prefect("GET", "/deployments/name/train/sft-demo-cuda")["schedules"]
        assert [one["schedule"]["cron"] for one in schedules] == ["0 3 * * *"]
    finally:
        machine.prefect("PATCH", "/work_pools/cuda", is_paused=False)
    machine.both_say(waiting, "cancelled", "CANCELLED")


def test_an_automation_acts_on_our_events(machine: Machine, tiny: Path, tmp_path: Path) -> None:
    _example(machine, tmp_path, "python", "Automation")
    done = machine.tmm("train", "sft-demo", "--dataset", str(tiny), "--set", "max_steps=2", "--set", "batch_size=4")
    assert done.returncode == 0, done.stderr

    def acted() -> bool:
        runs = machine.prefect("POST", "/flow_runs/filter", flows={"name": {"any_": ["reconcile"]}})
        return any("automation" in str(run["created_by"]).lower() for run in runs)

    eventually(acted, within=60, what="a flow run that the automation made")
    for automation in machine.prefect("POST", "/automations/filter"):
        machine.prefect("DELETE", f"/automations/{automation['id']}")


def _token(machine: Machine, keys: Path, given: dict[str, Any], *, minutes: int = 5) -> str:
    with Installation(machine.settings) as tmm:
        return issue_token(tmm, keys / "private.pem", person="alice", action="train", given=given, minutes=minutes)


def test_a_program_acts_for_a_person_with_a_token_that_counts_once_and_for_nothing_else(
    machine: Machine, tiny: Path, tmp_path: Path
) -> None:
    for command in (f"licence keygen --out {tmp_path}/keys", f"token trust {tmp_path}/keys/public.pem"):
        assert machine.tmm(*command.split()).returncode == 0
    assert machine.tmm("licence", "keygen", "--out", f"{tmp_path}/others").returncode == 0
    wanted = {"dataset": str(tiny), "options": {"max_steps": 3, "batch_size": 4}}
    asked = {"method": "sft-demo", **wanted}
    deployment = machine.prefect("GET", "/deployments/name/train/sft-demo-cuda")["id"]

    def triggered(token: str, **changed: Any) -> UUID:
        parameters = {**wanted, "acting_for": token, **changed}
        return UUID(machine.prefect("POST", f"/deployments/{deployment}/create_flow_run", parameters=parameters)["id"])

    good = _token(machine, tmp_path / "keys", asked)
    run_id = triggered(good)
    assert machine.both_say(run_id, "completed", "COMPLETED", within=120).requested_by == "alice"

    refused = [
        (triggered(good), f"was used before, by the flow run {run_id}"),
        (triggered(_token(machine, tmp_path / "others", asked)), "which is not in the trust store"),
        (triggered(_token(machine, tmp_path / "keys", asked, minutes=-1)), "expired at"),
        (triggered(_token(machine, tmp_path / "keys", {**asked, "method": "custom01"})), "for other parameters"),
        (triggered(_token(machine, tmp_path / "keys", asked), seed=1), "for other parameters"),
    ]
    for other, words in refused:
        state = machine.ends_in_prefect(other)
        assert (state["type"], words in state["message"]) == ("FAILED", True), state["message"]
        assert machine.known_run(other) is None
    entries = [json.loads(line) for line in machine.tmm("audit", "--format", "jsonl").stdout.splitlines()]
    told = [entry for entry in entries if entry["action"] == "request" and entry["outcome"] == "refused"]
    for _, words in refused:
        assert any(entry["actor"] == "prefect" and words in entry["reason"] for entry in told)
    acted = [entry for entry in entries if entry["actor"] == "alice"]
    assert [entry["action"] for entry in acted] == ["use-token", "request", "start", "complete"]
