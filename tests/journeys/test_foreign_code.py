"""Whoever reaches Prefect's API can write what they like into its records: none of it runs, and it is told and kept.

The stranger here knows the server's address (and its password, where it has one), and has a folder that the worker can
read. Whatever would run their code leaves a mark in that folder.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.server.schemas.actions import DeploymentUpdate
from prefect.workers.process import ProcessWorker

from adapters.prefect.deployments import OPERATORS
from adapters.prefect.worker.worker import ENGINE
from domain.audit.read_models import AuditEntry, AuditQuery
from domain.catalogue.method_spec import Backend
from infra.serving.prefect_environment import prefect_environment
from infra.upkeep.publishing import show_catalogue
from infra.wiring import Installation
from tests.journeys.conftest import Machine, eventually

pytestmark = pytest.mark.journey

FLOW = "reconcile"
REFUSED = "This flow run was not started: "

EVIL = """
from pathlib import Path
from prefect import flow

Path({mark!r}).touch()

@flow
def evil(**anything):
    pass

def step(**anything):
    return dict()
"""


@dataclass
class Stranger:
    """Somebody who reaches the API, and their folder."""

    machine: Machine
    folder: Path

    def __post_init__(self) -> None:
        for name in ("evil.py", "sitecustomize.py"):
            (self.folder / name).write_text(EVIL.format(mark=str(self.mark)))

    @property
    def mark(self) -> Path:
        """Is there once any of their code has run."""
        return self.folder / "mark"

    @property
    def command(self) -> str:
        return f"touch {self.mark}"

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.folder), "TMM_LICENCES": str(self.folder), "TMM_TRUST_STORE": str(self.folder)}

    def ours(self) -> dict[str, Any]:
        deployment: dict[str, Any] = self.machine.prefect("GET", f"/deployments/name/{FLOW}/{FLOW}")
        return deployment

    def deploy(self, flow: str, name: str, **fields: Any) -> UUID:
        flow_id = self.machine.prefect("POST", "/flows/", name=flow)["id"]
        made = self.machine.prefect(
            "POST",
            "/deployments/",
            **{"flow_id": flow_id, "name": name, "work_pool_name": "cuda", "enforce_parameter_schema": False, **fields},
        )
        return UUID(made["id"])

    def open_the_pool(self) -> None:
        """Write a template into the pool that takes and sets everything."""
        template = ProcessWorker.get_default_base_job_template()
        for name, value in (
            ("command", self.command),
            ("env", self.environment),
            ("working_dir", str(self.folder)),
        ):
            template["variables"]["properties"][name]["default"] = value
        self.machine.prefect("PATCH", "/work_pools/cuda", base_job_template=template)

    def start(self, deployment: UUID | str, **fields: Any) -> UUID:
        def ask() -> UUID | None:
            self.open_the_pool()  # again, where it was put back meanwhile
            made = self.machine.ask("POST", f"/deployments/{deployment}/create_flow_run", **fields)
            return UUID(made.json()["id"]) if made.status_code == 201 else None

        return eventually(ask, within=30, what="a flow run that the server accepts")

    def ends(self, run: UUID) -> tuple[str, str]:
        state = self.machine.ends_in_prefect(run)
        return state["type"], state["message"] or ""

    def put_back(self) -> None:
        with Installation(self.machine.settings) as tmm:
            tmm.pools.ensure(self.machine.settings.backends)
            show_catalogue(tmm)


@pytest.fixture
def stranger(carried_by: Machine, tmp_path: Path) -> Iterator[Stranger]:
    stranger = Stranger(carried_by, tmp_path)
    yield stranger
    stranger.put_back()
    assert not stranger.mark.exists()


def refusals(machine: Machine) -> list[AuditEntry]:
    with Installation(machine.settings) as tmm:
        query = AuditQuery(actor="prefect", outcome="refused", action="start", newest_first=True, limit=50)
        return list(tmm.auditing.page(query).entries)


BOTH = pytest.mark.parametrize("carried_by", ["warm", "stock"], indirect=True)


@pytest.mark.sample("warm")
@BOTH
def test_what_a_run_is_to_be_started_with_is_refused_and_recorded(stranger: Stranger) -> None:
    ours = stranger.ours()["id"]
    for variables, named in (
        ({"env": stranger.environment}, "env"),
        ({"command": stranger.command}, "command"),
        ({"working_dir": str(stranger.folder), "stream_output": False}, "working_dir"),
    ):
        run = stranger.start(ours, job_variables=variables)
        told = f"{REFUSED}it or its deployment sets {named}, where only stream_output is taken. "
        kind, message = stranger.ends(run)
        assert (kind, message.startswith(told)) == ("FAILED", True), message
        entry = next(entry for entry in refusals(stranger.machine) if entry.flow_run_id == run)
        assert (entry.subject_name, entry.reason) == (f"{FLOW}/{FLOW}", message)


@BOTH
def test_what_a_pool_says_is_ignored_and_put_back(stranger: Stranger) -> None:
    run = stranger.start(stranger.ours()["id"], job_variables={"stream_output": False})
    assert stranger.ends(run)[0] == "COMPLETED"
    stranger.put_back()
    template = stranger.machine.prefect("GET", "/work_pools/cuda")["base_job_template"]
    assert list(template["variables"]["properties"]) == ["stream_output"]
    refused = stranger.machine.ask(
        "POST", f"/deployments/{stranger.ours()['id']}/create_flow_run", job_variables={"env": stranger.environment}
    )
    assert (refused.status_code, "env" in refused.text) == (422, True)


@BOTH
def test_a_deployment_of_ours_that_somebody_changed_does_not_run_until_it_is_put_back(stranger: Stranger) -> None:
    shell = {"prefect.deployments.steps.run_shell_script": {"script": stranger.command}}
    for change, named in (
        ({"pull_steps": [shell]}, "pull steps"),
        ({"path": str(stranger.folder), "entrypoint": "evil.py:evil"}, "an entrypoint and a path"),
        ({"entrypoint": "evil.evil"}, "an entrypoint"),
    ):
        ours = stranger.ours()["id"]
        stranger.machine.prefect("PATCH", f"/deployments/{ours}", **change)
        run = stranger.start(ours)
        told = f"{REFUSED}the deployment {FLOW}/{FLOW} has {named} of its own. "
        kind, message = stranger.ends(run)
        assert (kind, message.startswith(told)) == ("FAILED", True), message
        assert any(entry.flow_run_id == run for entry in refusals(stranger.machine))
        stranger.put_back()
    assert stranger.ends(stranger.start(stranger.ours()["id"]))[0] == "COMPLETED"


@BOTH
def test_what_others_deploy_is_left_and_never_run(stranger: Stranger) -> None:
    theirs = {"path": str(stranger.folder), "entrypoint": "evil.py:evil"}
    name = f"evil-{uuid4().hex[:8]}"
    for flow, deployed_as in (("evil", name), ("train", name), ("train", f"{name}-cuda"), (FLOW, name)):
        deployment = stranger.deploy(flow, deployed_as, **theirs)
        kind, message = stranger.ends(stranger.start(deployment))
        assert (kind, message.startswith(REFUSED)) == ("FAILED", True), message
        stranger.put_back()
        there = stranger.machine.prefect("GET", f"/deployments/{deployment}")
        assert (there["name"], there["path"]) == (deployed_as, str(stranger.folder))
        stranger.machine.prefect("DELETE", f"/deployments/{deployment}")


@pytest.mark.parametrize("carried_by", ["warm"], indirect=True)
def test_what_is_changed_after_the_worker_has_looked_does_not_run_either(stranger: Stranger) -> None:
    """The engine that the worker starts runs the flow that it was told, whatever the records say by then."""
    machine, ours = stranger.machine, stranger.ours()["id"]
    pickled, elsewhere = stranger.folder / "result", stranger.folder / "elsewhere"
    pickled.write_bytes(pickle.dumps(Pickled(stranger.command)))
    elsewhere.mkdir()
    shell = {"prefect.deployments.steps.run_shell_script": {"script": stranger.command}}
    theirs = {"pull_steps": [shell], "path": str(stranger.folder), "entrypoint": "evil.py:evil"}
    machine.prefect("PATCH", f"/deployments/{ours}", **theirs)
    stored = {"type": "ResultRecordMetadata", "storage_key": str(pickled), "serializer": {"type": "pickle"}}
    for state in ({"type": "PENDING"}, {"type": "COMPLETED", "data": stored | {"prefect_version": "3.8.8"}}):
        run = machine.prefect("POST", f"/deployments/{ours}/create_flow_run", state={"type": "PENDING"})["id"]
        machine.prefect("POST", f"/flow_runs/{run}/set_state", state=state, force=True)
        ended = subprocess.run(
            [sys.executable, "-m", ENGINE, "flows.reconcile.reconcile"],
            env={
                **machine.environment,
                **prefect_environment(machine.settings, machine.api_url),
                "PREFECT__FLOW_RUN_ID": run,
            },
            cwd=elsewhere,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert not stranger.mark.exists()
        assert stranger.ends(UUID(run))[0] == "COMPLETED"


class Pickled:
    """What runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


def block(machine: Machine) -> str:
    """A block document that a deployment may name."""
    machine.prefect("POST", "/block_types/install_system_block_types")
    of_type = machine.prefect("GET", "/block_types/slug/local-file-system")["id"]
    [schema, *_] = machine.prefect(
        "POST", "/block_schemas/filter", block_schemas={"block_type_id": {"any_": [of_type]}}
    )
    named = {"name": f"evil-{uuid4().hex[:8]}", "data": {"basepath": "/"}}
    made = machine.prefect("POST", "/block_documents/", block_type_id=of_type, block_schema_id=schema["id"], **named)
    return str(made["id"])


@pytest.mark.sample("train/sft-demo-cuda-warm", "take-part/take-part-cuda-warm")
@pytest.mark.parametrize("carried_by", ["warm"], indirect=True)
@pytest.mark.parametrize("address", [f"{FLOW}/{FLOW}", "train/sft-demo-cuda", "take-part/take-part-cuda"])
def test_every_field_of_a_deployment_but_the_operators_is_put_back(stranger: Stranger, address: str) -> None:
    machine = stranger.machine
    stranger.put_back()
    if address.startswith("take-part"):  # is there once a training on several machines has asked for one
        with Installation(machine.settings) as tmm:
            tmm.flow_runs.cancel(tmm.flow_runs.ask_for_a_machine(Backend.CUDA, {}), "It was only to be there.")
    before = machine.prefect("GET", f"/deployments/name/{address}")
    document = block(machine)
    machine.ask("POST", "/work_pools/", name="strangers", type="process")
    changes: dict[str, Any] = {
        "version": "evil",
        "description": "evil",
        "tags": ["evil"],
        "parameters": {"evil": 1},
        "parameter_openapi_schema": {"type": "object", "properties": {}},
        "enforce_parameter_schema": False,
        "entrypoint": "evil.py:evil",
        "path": str(stranger.folder),
        "pull_steps": [{"prefect.deployments.steps.run_shell_script": {"script": stranger.command}}],
        "storage_document_id": document,
        "infrastructure_document_id": document,
        "job_variables": {"env": stranger.environment},
        "work_pool_name": "strangers",
    }
    no_field = {"version_info"}  # the server takes it and keeps nothing of it
    assert changes.keys() == DeploymentUpdate.model_fields.keys() - OPERATORS - no_field
    for field, value in changes.items():
        loosened = {} if field == "enforce_parameter_schema" else {"enforce_parameter_schema": False}
        stranger.open_the_pool()
        machine.prefect("PATCH", f"/deployments/{before['id']}", **{field: value}, **loosened)
        assert machine.prefect("GET", f"/deployments/{before['id']}")[field] == value
        stranger.put_back()
        after = machine.prefect("GET", f"/deployments/{before['id']}")
        kept = before.keys() - {"updated", "work_queue_id", "last_polled", "status", "next_run"}
        assert {name: after[name] or None for name in kept} == {name: before[name] or None for name in kept}, field
    with Installation(machine.settings) as tmm:
        assert show_catalogue(tmm) == []


@pytest.mark.parametrize("carried_by", ["warm"], indirect=True)
def test_what_the_operator_decides_of_a_deployment_stays(stranger: Stranger) -> None:
    machine, ours = stranger.machine, stranger.ours()
    decided: dict[str, Any] = {
        "paused": True,
        "schedules": [{"schedule": {"cron": "0 3 * * *", "timezone": "UTC"}, "active": False}],
        "concurrency_limit": 3,
        "concurrency_options": {"collision_strategy": "CANCEL_NEW"},
        "work_queue_name": "batch",
    }
    machine.prefect("PATCH", f"/deployments/{ours['id']}", work_pool_name="cuda", tags=["evil"], **decided)
    try:
        stranger.put_back()
        after = stranger.ours()
        assert after["tags"] == ours["tags"]
        assert (after["paused"], after["work_queue_name"]) == (True, "batch")
        assert [schedule["schedule"]["cron"] for schedule in after["schedules"]] == ["0 3 * * *"]
        assert after["global_concurrency_limit"]["limit"] == 3
        assert after["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    finally:
        hourly = [{"schedule": ours["schedules"][0]["schedule"]}]
        again = {"schedules": hourly, "work_queue_name": ours["work_queue_name"], "concurrency_limit": None}
        machine.prefect("PATCH", f"/deployments/{ours['id']}", work_pool_name="cuda", paused=False, **again)


@pytest.mark.parametrize("carried_by", ["warm"], indirect=True)
def test_a_pool_is_put_back_but_for_what_the_operator_decides(stranger: Stranger) -> None:
    machine = stranger.machine
    stranger.put_back()
    before = machine.prefect("GET", "/work_pools/cuda")
    step: dict[str, Any] = {"evil.step": {}}
    storage = {"bundle_upload_step": step, "bundle_execution_step": step}
    machine.prefect("PATCH", "/work_pools/cuda", description="evil", storage_configuration=storage, concurrency_limit=7)
    stranger.open_the_pool()
    try:
        stranger.put_back()
        after = machine.prefect("GET", "/work_pools/cuda")
        for field in ("type", "description", "base_job_template", "storage_configuration"):
            assert after[field] == before[field]
        assert after["concurrency_limit"] == 7
    finally:
        machine.prefect("PATCH", "/work_pools/cuda", concurrency_limit=None)


@pytest.mark.parametrize("carried_by", ["warm"], indirect=True)
def test_a_pool_of_another_type_is_made_anew(stranger: Stranger) -> None:
    machine = stranger.machine
    machine.prefect("POST", "/work_pools/", name="mlx", type="kubernetes", is_paused=True, concurrency_limit=2)
    try:
        with Installation(machine.settings) as tmm:
            tmm.pools.ensure([Backend.MLX])
        after = machine.prefect("GET", "/work_pools/mlx")
        assert (after["type"], after["is_paused"], after["concurrency_limit"]) == ("process", True, 2)
        assert after["base_job_template"] == machine.prefect("GET", "/work_pools/cuda")["base_job_template"]
    finally:
        machine.prefect("DELETE", "/work_pools/mlx")
