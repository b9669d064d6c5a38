"""Commands and queries of the service, on both databases."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.audit.read_models import AuditQuery
from domain.catalogue.method_spec import Backend, MethodType
from domain.catalogue.preinstalled import preinstalled_methods
from domain.catalogue.training_method import TrainingMethod
from domain.errors import (
    CommercialUsersOnly,
    InvalidConfigurationOptions,
    InvalidMethod,
    MethodAlreadyExists,
    MethodNotFound,
    MethodNotSelectable,
    RunNotFound,
    RunRequestChanged,
)
from domain.runs.training_run import RunStatus
from tests.support.people import ALICE, BOB, CARLA, PROVENANCE, TRAINERS, method, request
from tests.support.services import Services

COMPLETED: dict[str, Any] = {
    "artifact": "folder",
    "artifact_hash": "e" * 64,
    "weights_hash": "f" * 64,
    "steps": 5,
    "metrics": {"loss": 0.5},
    "before": {"accuracy": 0.1},
    "after": {"accuracy": 0.6},
}


def selectable(service: Services, **filters: Any) -> list[str]:
    return [found.spec.internal_name for found in service.catalogue.selectable(**filters)]


def last_entry(service: Services):
    return service.auditing.entries(AuditQuery(newest_first=True, limit=1))[0]


def requested(service: Services, name: str = "sft-support", **fields: Any) -> UUID:
    run_id = uuid4()
    service.trainings.request(run_id, request(name, **fields), by=ALICE)
    return run_id


def test_an_added_method_is_selectable_until_it_is_deleted(service: Services) -> None:
    added = service.catalogue.add(method(), by=ALICE)
    assert service.catalogue.selectable() == [added]
    assert (added.version, added.preinstalled, added.spec) == (1, False, method())
    service.catalogue.delete("sft-support", by=ALICE)
    assert service.catalogue.selectable() == []
    with pytest.raises(MethodNotSelectable, match="was deleted"):
        service.catalogue.method("sft-support")
    again = service.catalogue.add(method(display_name="Anew"), by=ALICE)
    assert (again.version, again.spec.display_name) == (3, "Anew")


def test_the_list_can_be_narrowed(service: Services) -> None:
    service.catalogue.add(method("one"), by=ALICE)
    service.catalogue.add(method("two", method_type="PEFT", trainer="mlx-lora", backends=["mlx"]), by=ALICE)
    assert selectable(service) == ["one", "two"]
    assert selectable(service, backend=Backend.MLX) == ["two"]
    assert selectable(service, method_type=MethodType.SFT) == ["one"]
    assert selectable(service, backend=Backend.MLX, method_type=MethodType.SFT) == []


@pytest.mark.parametrize("action", ["add", "modify", "delete"])
def test_a_refusal_changes_nothing_and_is_recorded_with_what_was_tried(service: Services, action: str) -> None:
    service.catalogue.add(method(), by=ALICE)
    attempts = {
        "add": lambda: service.catalogue.add(method("other"), by=BOB),
        "modify": lambda: service.catalogue.modify("sft-support", {"description": "mine"}, by=BOB),
        "delete": lambda: service.catalogue.delete("sft-support", by=BOB),
    }
    with pytest.raises(CommercialUsersOnly) as refused:
        attempts[action]()
    assert selectable(service) == ["sft-support"]
    assert service.catalogue.method("sft-support").version == 1
    entry = last_entry(service)
    assert (entry.actor, entry.action, entry.outcome, entry.reason) == ("bob", action, "refused", str(refused.value))
    if action == "modify":
        assert [(change.field, change.after) for change in entry.changes] == [("description", "mine")]


def test_rights_are_judged_before_values(service: Services) -> None:
    service.catalogue.add(method(), by=ALICE)
    service.catalogue.preinstall(preinstalled_methods((Backend.CUDA,)))
    for name, changes in (
        ("sft-support", {"description": 7}),
        ("sft-support", {"no such field": 7}),
        ("custom01", {"method_type": "no such type"}),
        ("custom01", {"description": 7, "trainer": ["sft"]}),
        ("custom01", {"backends": [5]}),
    ):
        with pytest.raises(CommercialUsersOnly):
            service.catalogue.modify(name, changes, by=BOB)
        assert last_entry(service).outcome == "refused"
    for changes in ({"description": 7}, {"internal_name": "mine"}, {"backends": ["mlx", "cuda", 5], "code": {}}):
        with pytest.raises(InvalidMethod):
            service.catalogue.modify("custom01", changes, by=BOB)


def test_wrong_input_changes_nothing_and_is_no_entry(service: Services) -> None:
    service.catalogue.add(method(), by=ALICE)
    with pytest.raises(MethodAlreadyExists):
        service.catalogue.add(method(), by=ALICE)
    with pytest.raises(InvalidMethod, match="no trainer 'magic'"):
        service.catalogue.add(method("other", trainer="magic"), by=ALICE)
    with pytest.raises(InvalidMethod, match="method_type"):
        service.catalogue.modify("sft-support", {"method_type": "PPO"}, by=ALICE)
    with pytest.raises(MethodNotFound):
        service.catalogue.delete("nothing", by=ALICE)
    with pytest.raises(MethodNotFound):
        service.catalogue.method("nothing")
    assert [entry.action for entry in service.auditing.entries()] == ["add"]


def test_a_command_that_is_repeated_with_its_id_happens_once(service: Services) -> None:
    command_id = uuid4()
    first = service.catalogue.add(method(), by=ALICE, command_id=command_id)
    assert service.catalogue.add(method(), by=ALICE, command_id=command_id) == first
    assert len(service.auditing.entries()) == 1


def test_preinstalling_is_idempotent_and_brings_nothing_back(service: Services) -> None:
    both = preinstalled_methods((Backend.CUDA, Backend.MLX))
    assert service.catalogue.preinstall(both) == [spec.internal_name for spec in both]
    service.catalogue.delete("sft-demo", by=ALICE)
    assert service.catalogue.preinstall(both) == []
    assert "sft-demo" not in selectable(service)


def test_a_run_goes_from_request_to_result(service: Services) -> None:
    service.catalogue.add(method(), by=ALICE)
    run_id = requested(service, options={"max_steps": 5})
    options = service.trainings.start(run_id, PROVENANCE)
    declared = {option.name: option.default for option in TRAINERS["sft"].options}
    assert options == declared | {"learning_rate": 1e-3, "max_steps": 5}
    service.trainings.complete(run_id, **COMPLETED)
    run = service.trainings.one(run_id)
    assert (run.status, run.method_version, run.options, run.provenance) == (
        RunStatus.COMPLETED,
        1,
        options,
        PROVENANCE,
    )
    assert {field: getattr(run, field) for field in COMPLETED} == COMPLETED
    assert run.duration_s is not None
    assert run.duration_s >= 0
    assert [entry.action for entry in service.auditing.entries(AuditQuery(run=run_id))] == [
        "request",
        "start",
        "complete",
    ]


def test_a_resumed_run_is_running_again(service: Services) -> None:
    service.catalogue.add(method(), by=ALICE)
    run_id = requested(service)
    service.trainings.start(run_id, PROVENANCE)
    service.trainings.fail(run_id, "the machine went away", interrupted=True)
    assert service.trainings.one(run_id).reason == "the machine went away"
    service.trainings.resume(run_id, 40)
    run = service.trainings.one(run_id)
    assert (run.status, run.reason, run.finished_at) == (RunStatus.RUNNING, None, None)


def test_options_that_are_not_offered_are_refused_when_a_run_is_requested(service: Services) -> None:
    service.catalogue.add(method(), by=ALICE)
    with pytest.raises(InvalidConfigurationOptions, match="'max_steps' must be at most 1000"):
        requested(service, options={"max_steps": 1001})
    with pytest.raises(InvalidConfigurationOptions, match="'magic' is not offered"):
        requested(service, options={"magic": 1})
    assert service.trainings.all() == []


def test_a_run_on_a_backend_that_the_method_lacks_is_refused(service: Services) -> None:
    service.catalogue.add(method(), by=ALICE)
    with pytest.raises(MethodNotSelectable, match="does not run on mlx"):
        requested(service, backend="mlx")


def test_a_request_is_idempotent_by_its_run_id_and_never_another(service: Services) -> None:
    service.catalogue.add(method(), by=ALICE)
    run_id = requested(service)
    service.trainings.request(run_id, request(), by=BOB)
    with pytest.raises(RunRequestChanged):
        service.trainings.request(run_id, request(seed=5), by=BOB)
    assert [entry.outcome for entry in service.auditing.entries(AuditQuery(action="request"))] == ["done", "refused"]


def test_a_deletion_cancels_waiting_runs_and_leaves_running_ones_alone(service: Services) -> None:
    service.catalogue.add(method(), by=ALICE)
    running, waiting = requested(service), requested(service)
    service.trainings.start(running, PROVENANCE)
    assert service.catalogue.delete("sft-support", by=ALICE) == [waiting]
    assert service.trainings.one(waiting).status is RunStatus.CANCELLED
    assert "was deleted" in (service.trainings.one(waiting).reason or "")
    service.trainings.complete(running, **COMPLETED)
    assert service.trainings.one(running).status is RunStatus.COMPLETED
    assert [run.run_id for run in service.trainings.all(status=RunStatus.CANCELLED)] == [waiting]


def test_a_run_that_finds_its_method_gone_was_cancelled_by_whoever_deleted_it(service: Services) -> None:
    service.catalogue.add(method(), by=ALICE)
    run_id = requested(service)
    gone = service.log.aggregate(TrainingMethod.create_id("sft-support"))
    assert isinstance(gone, TrainingMethod)
    gone.delete(by=CARLA, command_id=uuid4())
    service.log.save(gone)  # and whoever deleted it did not come to cancelling what waits
    with pytest.raises(MethodNotSelectable, match="was deleted"):
        service.trainings.start(run_id, PROVENANCE)
    entry = service.auditing.entries(AuditQuery(run=run_id, action="cancel"))[0]
    assert (entry.actor, entry.origin, entry.licence_id) == ("carla", "python", "L-17")


def test_a_deleted_method_cannot_be_asked_for(service: Services) -> None:
    service.catalogue.add(method(), by=ALICE)
    service.catalogue.delete("sft-support", by=ALICE)
    with pytest.raises(MethodNotSelectable, match="nobody can train with it"):
        requested(service)


def test_an_unknown_run_is_said_to_be_unknown(service: Services) -> None:
    with pytest.raises(RunNotFound):
        service.trainings.one(uuid4())
    with pytest.raises(RunNotFound):
        service.trainings.cancel(uuid4(), "why not", by=ALICE)
