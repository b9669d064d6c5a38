"""The README's examples for programs run as they are written there."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from infra.settings import CHECKOUT
from tests.journeys.conftest import Machine, eventually

pytestmark = pytest.mark.journey

EXAMPLES = re.findall(
    r"```(bash|python)\n(.*?)```",
    (CHECKOUT / "README.md").read_text().split("## Programs that trigger flows")[1].split("\n## ")[0],
    flags=re.DOTALL,
)


def _example(machine: Machine, folder: Path, language: str, word: str) -> str:
    """Run the example of this language that has this word; what it prints."""
    code = next(code for spoken, code in EXAMPLES if spoken == language and word in code)
    tmm = folder / "tmm"
    tmm.write_text(f'#!/bin/sh\nexec {sys.executable} -m infra.main "$@"\n')
    tmm.chmod(0o755)
    environment = machine.environment | {"PREFECT_API_URL": machine.api_url, "PREFECT_HOME": str(folder / "prefect")}
    environment["PATH"] = f"{folder}:{Path(sys.executable).parent}:{environment['PATH']}"
    command = ["bash", "-euc", code] if language == "bash" else [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
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
