"""Our worker starts what the catalogue deployed, as it deployed it; whatever else there is about a run is named."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse

from adapters.prefect.deployments import OUR_FLOWS
from adapters.prefect.worker.admission import streams_output, subject, why_not_ours

FLOW_ID = UUID(int=1)


def deployment(name: str = "sft-demo-cuda", flow: str = "train", **fields: Any) -> DeploymentResponse:
    entrypoint = OUR_FLOWS[flow].entrypoint
    return DeploymentResponse(id=uuid4(), name=name, **{"flow_id": FLOW_ID, "entrypoint": entrypoint, **fields})


def run(**fields: Any) -> FlowRun:
    return FlowRun(id=uuid4(), flow_id=FLOW_ID, **fields)


def why_not(flow: str, there: DeploymentResponse | None, flow_run: FlowRun | None = None) -> str | None:
    return why_not_ours(flow, there, flow_run or run(), OUR_FLOWS)


@pytest.mark.parametrize(
    ("flow", "name"),
    [
        ("train", "sft-demo-cuda"),
        ("train", "a-method-of-somebody-mlx"),
        ("take-part", "take-part-cuda"),
        *((flow, flow) for flow in OUR_FLOWS if flow not in ("train", "take-part")),
    ],
)
def test_what_the_catalogue_deploys_is_started(flow: str, name: str) -> None:
    assert why_not(flow, deployment(name, flow)) is None


@pytest.mark.parametrize(
    ("flow", "name"),
    [
        ("evil", "evil"),
        ("evil", "sft-demo-cuda"),
        ("train", "evil"),
        ("train", "sft-demo-rocm"),
        ("train", "sft-demo-cuda\n"),
        ("reconcile", "sft-demo-cuda"),
        ("reconcile", "reconcile "),
        ("take-part", "take-part-elsewhere"),
    ],
)
def test_a_deployment_that_the_catalogue_does_not_make_is_not_started(flow: str, name: str) -> None:
    told = why_not(flow, deployment(name))
    assert told is not None
    assert told.startswith(f"the catalogue has no deployment {flow}/")
    assert "\n" not in told


def test_a_run_without_a_deployment_or_of_another_flow_than_its_deployments_is_not_started() -> None:
    assert why_not("train", None) == "it is a run of the flow train that belongs to no deployment"
    other = FlowRun(id=uuid4(), flow_id=UUID(int=2))
    assert why_not("train", deployment(), other) == "the catalogue has no deployment train/sft-demo-cuda"


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"entrypoint": "evil.py:evil"}, "an entrypoint"),
        ({"entrypoint": None}, "an entrypoint"),
        ({"entrypoint": "flows.manage.delete_training_method"}, "an entrypoint"),
        ({"path": "/tmp"}, "a path"),
        ({"pull_steps": [{"prefect.deployments.steps.run_shell_script": {"script": "true"}}]}, "pull steps"),
        ({"storage_document_id": uuid4()}, "storage"),
        ({"infrastructure_document_id": uuid4()}, "infrastructure"),
        ({"path": "/tmp", "pull_steps": [{"step": {}}]}, "a path and pull steps"),
    ],
)
def test_a_deployment_that_somebody_changed_is_not_started(fields: dict[str, Any], what: str) -> None:
    assert why_not("train", deployment(**fields)) == f"the deployment train/sft-demo-cuda has {what} of its own"


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({"env": {"TMM_TRUST_STORE": "/tmp"}}, "env"),
        ({"env.PYTHONPATH": "/tmp"}, "env.PYTHONPATH"),
        ({"command": "touch /tmp/here", "working_dir": "/tmp"}, "command, working_dir"),
        ({"stream_output": False, "name": "x"}, "name"),
    ],
)
def test_job_variables_are_not_taken_whoever_sets_them(variables: dict[str, Any], names: str) -> None:
    told = f"it or its deployment sets {names}, where only stream_output is taken"
    assert why_not("train", deployment(), run(job_variables=variables)) == told
    assert why_not("train", deployment(job_variables=variables)) == told


@pytest.mark.parametrize("variables", [{}, None, {"env": {}}, {"command": ""}, {"working_dir": None}])
def test_what_an_empty_form_sends_asks_for_nothing(variables: dict[str, Any] | None) -> None:
    assert why_not("train", deployment(), run(job_variables=variables)) is None


def test_whether_the_log_shows_what_a_run_prints_is_for_the_run_to_say_and_then_for_its_deployment() -> None:
    quiet = {"stream_output": False}
    assert streams_output(deployment(), run())
    assert not streams_output(deployment(job_variables=quiet), run())
    assert not streams_output(deployment(), run(job_variables=quiet))
    assert streams_output(deployment(job_variables=quiet), run(job_variables={"stream_output": True}))
    assert streams_output(deployment(), run(job_variables={"stream_output": "no"}))


def test_names_of_strangers_are_told_on_one_line_and_not_for_ever() -> None:
    there = deployment("\x1b[2J\n" + "x" * 5000)
    told = why_not("train", there) or ""
    assert told.startswith("the catalogue has no deployment train/\\x1b[2J\\n")
    assert len(told) < 400


def test_the_audit_log_names_the_method_where_there_is_one() -> None:
    assert subject("train", deployment(), OUR_FLOWS) == "sft-demo"
    assert subject("train", deployment("evil"), OUR_FLOWS) == "train/evil"
    assert subject("evil", deployment("evil\x07"), OUR_FLOWS) == "evil/evil\\x07"
    assert subject("reconcile", deployment("reconcile"), OUR_FLOWS) == "reconcile/reconcile"
    assert subject("train", None, OUR_FLOWS) == "train"
