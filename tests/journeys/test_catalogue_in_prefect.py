"""The catalogue's commands for people in the Prefect UI, and what Prefect shows of the catalogue."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.audit.read_models import AuditQuery
from infra.acting_for import issue_token
from infra.wiring import Installation
from tests.journeys.conftest import Machine, eventually

pytestmark = pytest.mark.journey

NEW_METHOD = {
    "internal_name": "sft-journey",
    "display_name": "SFT of a journey",
    "method_type": "SFT",
    "description": "Made in the Prefect UI",
    "trainer": "sft",
    "backends": ["cuda"],
    "default_base_model": "small-base",
}


def _run(machine: Machine, flow: str, **parameters: Any) -> dict[str, Any]:
    deployment = machine.prefect("GET", f"/deployments/name/{flow}/{flow}")
    made = machine.prefect("POST", f"/deployments/{deployment['id']}/create_flow_run", parameters=parameters)
    return machine.ends_in_prefect(UUID(made["id"]))


def _shown(machine: Machine) -> set[str]:
    tagged = {"deployments": {"tags": {"all_": ["training-method"]}}}
    return {deployment["name"] for deployment in machine.prefect("POST", "/deployments/filter", **tagged)}


def _licensed(machine: Machine, folder: Path, users: str) -> None:
    keys, licence = folder / "keys", folder / "journey.licence"
    for command in (
        f"keygen --out {keys}",
        f"issue --key {keys}/private.pem --customer Journey --users {users} --days 2 --out {licence}",
        f"trust {keys}/public.pem",
        f"install {licence}",
    ):
        done = machine.tmm("licence", *command.split())
        assert done.returncode == 0, done.stderr


@pytest.fixture(autouse=True)
def no_licence_stays(machine: Machine) -> Iterator[None]:
    """What one story installs must not decide another."""
    yield
    for licence in machine.settings.licences.glob("*"):
        licence.unlink()


def test_prefect_shows_exactly_the_selectable_methods(machine: Machine) -> None:
    assert _shown(machine) == {"sft-demo-cuda", "grpo-demo-cuda", "custom01-cuda", "custom02-cuda"}


def test_adding_and_deleting_in_the_ui_need_a_licence_that_covers_prefect(machine: Machine, tmp_path: Path) -> None:
    refused = _run(machine, "add-training-method", **NEW_METHOD)
    assert refused["type"] == "FAILED"
    assert refused["message"].startswith("prefect may not add a training method: this is for commercial users only")
    assert "custom01" in refused["message"]
    assert "sft-journey-cuda" not in _shown(machine)
    audit = machine.tmm("audit", "--outcome", "refused", "--actor", "prefect").stdout
    assert "add" in audit

    _licensed(machine, tmp_path, "prefect")
    assert _run(machine, "add-training-method", **NEW_METHOD)["type"] == "COMPLETED"
    assert "sft-journey-cuda" in _shown(machine)

    told = _run(machine, "delete-training-method", internal_name="sft-journey", only_tell=True)
    assert (told["type"], "Waiting: no runs" in told["message"]) == ("COMPLETED", True)
    assert "sft-journey-cuda" in _shown(machine)
    assert _run(machine, "delete-training-method", internal_name="sft-journey")["type"] == "COMPLETED"
    assert "sft-journey-cuda" not in _shown(machine)
    done = machine.tmm("train", "sft-journey", "--dataset", "sft-demo")
    assert (done.returncode, "deleted" in done.stderr) == (4, True)


def test_a_flow_run_that_is_retried_uses_its_token_no_second_time(machine: Machine, tmp_path: Path) -> None:
    _licensed(machine, tmp_path, "*")
    for command in ("add sft-once --from sft-demo", f"token trust {tmp_path}/keys/public.pem"):
        assert machine.tmm(*command.split()).returncode == 0
    asked = {"internal_name": "sft-once"}
    with Installation(machine.settings) as tmm:
        private = tmp_path / "keys" / "private.pem"
        token = issue_token(tmm, private, person="ada", action="delete", given=asked, minutes=5)
    deployment = machine.prefect("GET", "/deployments/name/delete-training-method/delete-training-method")["id"]
    given = asked | {"acting_for": token}
    run_id = UUID(machine.prefect("POST", f"/deployments/{deployment}/create_flow_run", parameters=given)["id"])
    assert machine.ends_in_prefect(run_id)["type"] == "COMPLETED"

    assert machine.tmm("add", "sft-once", "--from", "sft-demo").returncode == 0
    # This is what the retry button in Prefect's UI sends.
    again = {"type": "SCHEDULED", "name": "AwaitingRetry"}
    machine.prefect("POST", f"/flow_runs/{run_id}/set_state", state=again, force=True)
    ended = machine.ends_in_prefect(run_id, after_retry=True)
    assert (ended["type"], "ada deleted" in ended["message"]) == ("COMPLETED", True), ended["message"]
    assert "sft-once-cuda" in _shown(machine)
    with Installation(machine.settings) as tmm:
        assert [entry.actor for entry in tmm.auditing.entries(AuditQuery(method="sft-once", action="delete"))] == [
            "ada"
        ]
    assert machine.tmm("delete", "sft-once", "--yes").returncode == 0


def test_deleting_a_method_cancels_its_waiting_runs_before_their_deployment_goes(
    machine: Machine, tmp_path: Path
) -> None:
    _licensed(machine, tmp_path, "*")
    assert machine.tmm("add", "sft-waiting", "--from", "sft-demo").returncode == 0
    # Nobody serves the pool for a moment: the run waits.
    machine.prefect("PATCH", "/work_pools/cuda", is_paused=True)
    try:
        asked = machine.tmm("train", "sft-waiting", "--no-wait")
        assert asked.returncode == 0, asked.stderr
        run_id = UUID(asked.stdout.strip())
        by_itself = machine.prefect("GET", "/deployments/name/train/sft-waiting-cuda")["id"]
        unrequested = UUID(machine.prefect("POST", f"/deployments/{by_itself}/create_flow_run")["id"])
        deleted = machine.tmm("delete", "sft-waiting", "--yes")
        assert deleted.returncode == 0, deleted.stderr
    finally:
        machine.prefect("PATCH", "/work_pools/cuda", is_paused=False)
    run = machine.both_say(run_id, "cancelled", "CANCELLED")
    assert "was deleted before the run started" in (run.reason or "")
    for waiting in (run_id, unrequested):
        assert "deleted" in machine.ends_in_prefect(waiting)["message"]
    assert "sft-waiting-cuda" not in _shown(machine)


def test_what_somebody_changed_or_deleted_by_hand_heals(machine: Machine) -> None:
    changed = machine.prefect("GET", "/deployments/name/train/sft-demo-cuda")
    gone = machine.prefect("GET", "/deployments/name/train/custom02-cuda")
    machine.prefect("PATCH", f"/deployments/{changed['id']}", description="by hand", tags=["training-method"])
    machine.prefect("DELETE", f"/deployments/{gone['id']}")
    assert machine.tmm("doctor", "--fix").returncode == 0

    def healed() -> bool:
        now = machine.prefect("GET", "/deployments/name/train/sft-demo-cuda")
        return now["description"] == changed["description"] and now["tags"] == changed["tags"]

    assert healed()
    assert machine.prefect("GET", "/deployments/name/train/sft-demo-cuda")["id"] == changed["id"]
    eventually(lambda: "custom02-cuda" in _shown(machine), within=5, what="custom02 again")
