"""Commands and queries of the service, on both databases."""

from typing import Any
from uuid import UUID, uuid4

import pytest

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
from domain.method_spec import Backend, MethodType
from domain.preinstalled import preinstalled_methods
from domain.read_models import AuditQuery
from domain.service import TrainingMethods
from domain.training_run import RunStatus
from tests.people import ALICE, BOB, PROVENANCE, TRAINERS, method, request

COMPLETED: dict[str, Any] = {
    "artifact": "folder",
    "artifact_hash": "e" * 64,
    "weights_hash": "f" * 64,
    "steps": 5,
    "metrics": {"loss": 0.5},
    "before": {"accuracy": 0.1},
    "after": {"accuracy": 0.6},
}


def selectable(service: TrainingMethods, **filters: Any) -> list[str]:
    return [found.spec.internal_name for found in service.selectable_methods(**filters)]


def last_entry(service: TrainingMethods):
    return service.audit(AuditQuery(newest_first=True, limit=1))[0]


def requested(service: TrainingMethods, name: str = "sft-support", **fields: Any) -> UUID:
    run_id = uuid4()
    service.request_run(run_id, request(name, **fields), by=ALICE)
    return run_id


def test_an_added_method_is_selectable_until_it_is_deleted(service: TrainingMethods) -> None:
    added = service.add_method(method(), by=ALICE)
    assert service.selectable_methods() == [added]
    assert (added.version, added.preinstalled, added.spec) == (1, False, method())
    service.delete_method("sft-support", by=ALICE)
    assert service.selectable_methods() == []
    with pytest.raises(MethodNotSelectable, match="was deleted"):
        service.selectable_method("sft-support")
    again = service.add_method(method(display_name="Anew"), by=ALICE)
    assert (again.version, again.spec.display_name) == (3, "Anew")


def test_the_list_can_be_narrowed(service: TrainingMethods) -> None:
    service.add_method(method("one"), by=ALICE)
    service.add_method(method("two", method_type="PEFT", trainer="mlx-lora", backends=["mlx"]), by=ALICE)
    assert selectable(service) == ["one", "two"]
    assert selectable(service, backend=Backend.MLX) == ["two"]
    assert selectable(service, method_type=MethodType.SFT) == ["one"]
    assert selectable(service, backend=Backend.MLX, method_type=MethodType.SFT) == []


@pytest.mark.parametrize("action", ["add", "modify", "delete"])
def test_a_refusal_changes_nothing_and_is_recorded_with_what_was_tried(service: TrainingMethods, action: str) -> None:
    service.add_method(method(), by=ALICE)
    attempts = {
        "add": lambda: service.add_method(method("other"), by=BOB),
        "modify": lambda: service.modify_method("sft-support", {"description": "mine"}, by=BOB),
        "delete": lambda: service.delete_method("sft-support", by=BOB),
    }
    with pytest.raises(CommercialUsersOnly) as refused:
        attempts[action]()
    assert selectable(service) == ["sft-support"]
    assert service.selectable_method("sft-support").version == 1
    entry = last_entry(service)
    assert (entry.actor, entry.action, entry.outcome, entry.reason) == ("bob", action, "refused", str(refused.value))
    if action == "modify":
        assert [(change.field, change.after) for change in entry.changes] == [("description", "mine")]


def test_rights_are_judged_before_values(service: TrainingMethods) -> None:
    service.add_method(method(), by=ALICE)
    service.preinstall(preinstalled_methods((Backend.CUDA,)))
    for name, changes in (
        ("sft-support", {"description": 7}),
        ("sft-support", {"no such field": 7}),
        ("custom01", {"method_type": "no such type"}),
        ("custom01", {"description": 7, "trainer": ["sft"]}),
        ("custom01", {"backends": [5]}),
    ):
        with pytest.raises(CommercialUsersOnly):
            service.modify_method(name, changes, by=BOB)
        assert last_entry(service).outcome == "refused"
    for changes in ({"description": 7}, {"internal_name": "mine"}, {"backends": ["mlx", "cuda", 5], "code": {}}):
        with pytest.raises(InvalidMethod):
            service.modify_method("custom01", changes, by=BOB)


def test_wrong_input_changes_nothing_and_is_no_entry(service: TrainingMethods) -> None:
    service.add_method(method(), by=ALICE)
    with pytest.raises(MethodAlreadyExists):
        service.add_method(method(), by=ALICE)
    with pytest.raises(InvalidMethod, match="no trainer 'magic'"):
        service.add_method(method("other", trainer="magic"), by=ALICE)
    with pytest.raises(InvalidMethod, match="method_type"):
        service.modify_method("sft-support", {"method_type": "PPO"}, by=ALICE)
    with pytest.raises(MethodNotFound):
        service.delete_method("nothing", by=ALICE)
    with pytest.raises(MethodNotFound):
        service.selectable_method("nothing")
    assert [entry.action for entry in service.audit()] == ["add"]


def test_a_command_that_is_repeated_with_its_id_happens_once(service: TrainingMethods) -> None:
    command_id = uuid4()
    first = service.add_method(method(), by=ALICE, command_id=command_id)
    assert service.add_method(method(), by=ALICE, command_id=command_id) == first
    assert len(service.audit()) == 1


def test_preinstalling_is_idempotent_and_brings_nothing_back(service: TrainingMethods) -> None:
    both = preinstalled_methods((Backend.CUDA, Backend.MLX))
    assert service.preinstall(both) == [spec.internal_name for spec in both]
    service.delete_method("sft-demo", by=ALICE)
    assert service.preinstall(both) == []
    assert "sft-demo" not in selectable(service)


def test_a_run_goes_from_request_to_result(service: TrainingMethods) -> None:
    service.add_method(method(), by=ALICE)
    run_id = requested(service, options={"max_steps": 5})
    options = service.start_run(run_id, PROVENANCE, by=ALICE)
    declared = {option.name: option.default for option in TRAINERS["sft"].options}
    assert options == declared | {"learning_rate": 1e-3, "max_steps": 5}
    service.complete_run(run_id, by=ALICE, **COMPLETED)
    run = service.training_run(run_id)
    assert (run.status, run.method_version, run.options, run.provenance) == (
        RunStatus.COMPLETED,
        1,
        options,
        PROVENANCE,
    )
    assert {field: getattr(run, field) for field in COMPLETED} == COMPLETED
    assert run.duration_s is not None
    assert run.duration_s >= 0
    assert [entry.action for entry in service.audit(AuditQuery(run=run_id))] == ["request", "start", "complete"]


def test_a_resumed_run_is_running_again(service: TrainingMethods) -> None:
    service.add_method(method(), by=ALICE)
    run_id = requested(service)
    service.start_run(run_id, PROVENANCE, by=ALICE)
    service.fail_run(run_id, "the machine went away", interrupted=True, by=ALICE)
    assert service.training_run(run_id).reason == "the machine went away"
    service.resume_run(run_id, 40, by=ALICE)
    run = service.training_run(run_id)
    assert (run.status, run.reason, run.finished_at) == (RunStatus.RUNNING, None, None)


def test_options_that_are_not_offered_are_refused_when_a_run_is_requested(service: TrainingMethods) -> None:
    service.add_method(method(), by=ALICE)
    with pytest.raises(InvalidConfigurationOptions, match="'max_steps' must be at most 1000"):
        requested(service, options={"max_steps": 1001})
    with pytest.raises(InvalidConfigurationOptions, match="'magic' is not offered"):
        requested(service, options={"magic": 1})
    assert service.training_runs() == []


def test_a_run_on_a_backend_that_the_method_lacks_is_refused(service: TrainingMethods) -> None:
    service.add_method(method(), by=ALICE)
    with pytest.raises(MethodNotSelectable, match="does not run on mlx"):
        requested(service, backend="mlx")


def test_a_request_is_idempotent_by_its_run_id_and_never_another(service: TrainingMethods) -> None:
    service.add_method(method(), by=ALICE)
    run_id = requested(service)
    service.request_run(run_id, request(), by=BOB)
    with pytest.raises(RunRequestChanged):
        service.request_run(run_id, request(seed=5), by=BOB)
    assert [entry.outcome for entry in service.audit(AuditQuery(action="request"))] == ["done", "refused"]


def test_a_deletion_cancels_waiting_runs_and_leaves_running_ones_alone(service: TrainingMethods) -> None:
    service.add_method(method(), by=ALICE)
    running, waiting = requested(service), requested(service)
    service.start_run(running, PROVENANCE, by=ALICE)
    assert service.delete_method("sft-support", by=ALICE) == [waiting]
    assert service.training_run(waiting).status is RunStatus.CANCELLED
    assert "was deleted" in (service.training_run(waiting).reason or "")
    service.complete_run(running, by=ALICE, **COMPLETED)
    assert service.training_run(running).status is RunStatus.COMPLETED
    assert [run.run_id for run in service.training_runs(status=RunStatus.CANCELLED)] == [waiting]


def test_a_deleted_method_cannot_be_asked_for(service: TrainingMethods) -> None:
    service.add_method(method(), by=ALICE)
    service.delete_method("sft-support", by=ALICE)
    with pytest.raises(MethodNotSelectable, match="nobody can train with it"):
        requested(service)


def test_an_unknown_run_is_said_to_be_unknown(service: TrainingMethods) -> None:
    with pytest.raises(RunNotFound):
        service.training_run(uuid4())
    with pytest.raises(RunNotFound):
        service.cancel_run(uuid4(), "why not", by=ALICE)


def test_runs_are_read_page_by_page_and_by_who_asked(service: TrainingMethods) -> None:
    service.add_method(method(), by=ALICE)
    for number in range(7):
        service.request_run(uuid4(), request(), by=ALICE if number % 2 else BOB)
    all_of_them = service.training_runs()
    seen = service.training_runs(limit=3)
    while page := service.training_runs(after=seen[-1].run_id, limit=3):
        seen += page
    assert seen == all_of_them
    bobs = [run for run in all_of_them if run.requested_by == BOB.name]
    assert service.training_runs(requested_by=BOB.name) == bobs
    assert service.training_runs(requested_by=BOB.name, after=bobs[1].run_id) == bobs[2:]
    assert service.training_runs(after=uuid4()) == []
