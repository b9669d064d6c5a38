"""The rules of a training method."""

from typing import Any
from uuid import uuid4

import hypothesis
import pytest
from hypothesis import strategies as st

from domain.catalogue.method_spec import CUSTOM, Backend, MethodSpec, MethodType
from domain.catalogue.preinstalled import GRPO_DEMO, MLX_DEMO, PREINSTALLED, SFT_DEMO, preinstalled_methods
from domain.catalogue.training_method import TEMPLATES, TrainingMethod
from domain.errors import CommercialUsersOnly, InvalidMethod, MethodAlreadyExists, MethodNotSelectable
from tests.support.people import COMMERCIAL, NONCOMMERCIAL, RATE, method
from tests.support.story import add, added, delete, deleted, given, modify, preinstalled

CUSTOM01 = next(spec for spec in PREINSTALLED if spec.internal_name == "custom01")


def test_a_commercial_user_adds_a_method() -> None:
    (event,) = given().when(add(method(), by=COMMERCIAL)).then(TrainingMethod.Added)
    assert isinstance(event, TrainingMethod.Added)
    assert (event.spec, event.by) == (method(), COMMERCIAL)


def test_a_noncommercial_user_may_not_add_and_is_pointed_to_the_templates() -> None:
    given().when(add(method(), by=NONCOMMERCIAL)).then_refused(
        CommercialUsersOnly, "no licence is installed.*custom01 and custom02"
    )


def test_a_method_that_exists_cannot_be_added() -> None:
    given(added(method())).when(add(method())).then_refused(MethodAlreadyExists, "sft-support")


@pytest.mark.parametrize("spec", PREINSTALLED, ids=lambda spec: f"{spec.internal_name} on {spec.backends[0]}")
def test_preinstalled_methods_need_no_licence(spec: MethodSpec) -> None:
    (event,) = given().when(preinstalled(spec)).then(TrainingMethod.Preinstalled)
    assert event.by.name == "installer"


def test_nothing_but_the_listed_methods_can_be_preinstalled() -> None:
    with pytest.raises(ValueError, match="not one of the preinstalled"):
        TrainingMethod.preinstall(SFT_DEMO.with_changes({"description": "mine"}), command_id=method_id())


def method_id():
    return TrainingMethod.create_id("sft-support")


@pytest.mark.parametrize("spec", [method(), SFT_DEMO, CUSTOM01], ids=lambda spec: spec.internal_name)
def test_only_commercial_users_delete_also_what_was_preinstalled(spec: MethodSpec) -> None:
    first = preinstalled(spec) if spec in PREINSTALLED else added(spec)
    given(first).when(delete(by=NONCOMMERCIAL)).then_refused(CommercialUsersOnly, spec.display_name)
    given(first).when(delete(by=COMMERCIAL)).then(TrainingMethod.Deleted)


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "internal_name": st.sampled_from(["custom01", "mine"]),
    "display_name": st.sampled_from(["Mine", ""]),
    "method_type": st.sampled_from([*MethodType, "no type", 5]),
    "trainer": st.sampled_from([CUSTOM01.trainer, "sft", "dpo", CUSTOM, 5]),
    "backends": st.lists(st.sampled_from(["cuda", "mlx", Backend.CUDA]), max_size=3),
    "code": st.sampled_from([None, {"hash": "a" * 64, "backends": ["cuda"]}, {}]),
}


@hypothesis.given(
    st.sampled_from([{}, {"trainer": "dpo", "backends": ["cuda", "mlx"]}]),
    st.fixed_dictionaries({}, optional=FIELDS),
)
def test_what_may_be_modified_is_never_refused_before_its_values_are_judged(
    before: dict[str, Any], changes: dict[str, Any]
) -> None:
    template = given(preinstalled(CUSTOM01), modify(**before)).aggregate()
    try:
        template.modify(template.spec.with_changes(changes), by=NONCOMMERCIAL, command_id=uuid4())
    except (InvalidMethod, CommercialUsersOnly):
        return
    template.must_let_change(changes, by=NONCOMMERCIAL)


def test_a_method_is_deleted_once() -> None:
    given(added(method()), deleted()).when(delete()).then_refused(MethodNotSelectable, "was deleted")


def test_adding_again_continues_one_history() -> None:
    (event,) = given(added(method()), deleted()).when(add(method(display_name="Anew"))).then(TrainingMethod.AddedAgain)
    assert event.originator_version == 3
    assert event.originator_id == TrainingMethod.create_id("sft-support")


def test_a_noncommercial_user_may_not_add_again() -> None:
    given(added(method()), deleted()).when(add(method(), by=NONCOMMERCIAL)).then_refused(CommercialUsersOnly)


def test_a_deleted_method_cannot_be_modified() -> None:
    given(added(method()), deleted()).when(modify(description="new")).then_refused(MethodNotSelectable)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("display_name", "Our own"),
        ("description", "What we do"),
        ("configuration_options", (RATE,)),
        ("default_base_model", "our/model"),
        ("default_dataset", "our-data.jsonl"),
    ],
)
def test_everyone_may_shape_a_template(field: str, value: object) -> None:
    (event,) = (
        given(preinstalled(CUSTOM01)).when(modify(by=NONCOMMERCIAL, **{field: value})).then(TrainingMethod.Modified)
    )
    assert isinstance(event, TrainingMethod.Modified)
    assert [change.field for change in event.changes] == [field]


@pytest.mark.parametrize(("field", "value"), [("trainer", "mlx-lora"), ("backends", ["mlx"]), ("method_type", "DPO")])
def test_what_else_a_template_is_made_of_is_for_commercial_users(field: str, value: object) -> None:
    given(preinstalled(CUSTOM01)).when(modify(by=NONCOMMERCIAL, **{field: value})).then_refused(
        CommercialUsersOnly, f"change {field} of Custom01"
    )
    given(preinstalled(CUSTOM01)).when(modify(by=COMMERCIAL, **{field: value})).then(TrainingMethod.Modified)


@pytest.mark.parametrize("first", [added(method()), preinstalled(SFT_DEMO)], ids=["added", "preinstalled"])
def test_every_other_method_is_modified_by_commercial_users_only(first) -> None:
    given(first).when(modify(by=NONCOMMERCIAL, description="mine")).then_refused(CommercialUsersOnly)
    given(first).when(modify(by=COMMERCIAL, description="ours")).then(TrainingMethod.Modified)


def test_a_change_that_changes_nothing_is_no_event() -> None:
    given(added(method())).when(modify(display_name="SFT Support")).then_nothing()


def test_an_internal_name_is_never_changed() -> None:
    given(added(method())).when(modify(internal_name="sft-other")).then_refused(InvalidMethod, "cannot be renamed")


def test_what_is_preinstalled_depends_on_the_backends() -> None:
    def names(*backends: Backend) -> list[str]:
        return [spec.display_name for spec in preinstalled_methods(backends)]

    assert names(Backend.CUDA) == ["GRPO-Demo", "SFT-Demo", "Custom01", "Custom02"]
    assert names(Backend.MLX) == ["MLX-Demo", "Custom01", "Custom02"]
    assert names(Backend.CUDA, Backend.MLX) == ["GRPO-Demo", "SFT-Demo", "MLX-Demo", "Custom01", "Custom02"]
    assert names() == []
    assert {GRPO_DEMO.backends, SFT_DEMO.backends} == {(Backend.CUDA,)}
    assert MLX_DEMO.backends == (Backend.MLX,)
    assert {"custom01", "custom02"} == TEMPLATES
