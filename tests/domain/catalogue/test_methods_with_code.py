"""Code of one's own: who may give it to which method, and what the catalogue knows of it without running it."""

from uuid import uuid4

import pytest

from domain.catalogue.method_spec import CUSTOM, MethodCode, MethodSpec
from domain.catalogue.options import ConfigurationOption, OptionType
from domain.catalogue.preinstalled import PREINSTALLED, SFT_DEMO
from domain.catalogue.trainer_declaration import trainer_of
from domain.catalogue.training_method import TrainingMethod
from domain.errors import CommercialUsersOnly, InvalidConfigurationOptions, InvalidMethod
from domain.people.users import Entitlement, Origin, User

ALICE = User(name="alice", entitlement=Entitlement.noncommercial("no licence is installed"), origin=Origin.COMMAND_LINE)
STEPS = ConfigurationOption(name="max_steps", type=OptionType.INTEGER, default=5, minimum=1, description="Steps")
CODE = MethodCode(hash="ab" * 32, backends=("mlx",), options=(STEPS,))
CUSTOM01 = next(spec for spec in PREINSTALLED if spec.internal_name == "custom01")


def with_code(spec: MethodSpec, **more: object) -> MethodSpec:
    fields = {"code": CODE.model_dump(mode="json"), "trainer": CUSTOM, "backends": ["mlx"], "configuration_options": []}
    return spec.with_changes(fields | more)


def template() -> TrainingMethod:
    return TrainingMethod.preinstall(CUSTOM01, command_id=uuid4())


def test_everyone_may_give_a_template_code_with_its_backends_and_take_it_back() -> None:
    method = template()
    method.modify(with_code(CUSTOM01), by=ALICE, command_id=uuid4())
    assert method.spec.code == CODE
    method.modify(CUSTOM01, by=ALICE, command_id=uuid4())
    assert method.spec == CUSTOM01


def test_giving_code_to_another_method_is_for_commercial_users() -> None:
    method = TrainingMethod.preinstall(SFT_DEMO, command_id=uuid4())
    with pytest.raises(CommercialUsersOnly, match="custom01"):
        method.modify(with_code(SFT_DEMO), by=ALICE, command_id=uuid4())


def test_taking_code_back_is_no_way_to_another_trainer() -> None:
    method = template()
    method.modify(with_code(CUSTOM01), by=ALICE, command_id=uuid4())
    with pytest.raises(CommercialUsersOnly, match="trainer"):
        method.modify(CUSTOM01.with_changes({"trainer": "grpo"}), by=ALICE, command_id=uuid4())


def test_giving_code_is_no_way_to_another_method_type() -> None:
    with pytest.raises(CommercialUsersOnly, match="method_type"):
        template().modify(with_code(CUSTOM01, method_type="SFT"), by=ALICE, command_id=uuid4())


@pytest.mark.parametrize("fields", [{"trainer": CUSTOM}, {"code": CODE.model_dump(mode="json")}])
def test_code_and_the_custom_trainer_come_together(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidMethod, match="saved for custom01 or custom02"):
        CUSTOM01.with_changes(fields)


def test_a_method_offers_only_options_that_its_code_declares() -> None:
    spec = with_code(CUSTOM01, configuration_options=[STEPS.model_dump(mode="json") | {"name": "warp"}])
    with pytest.raises(InvalidConfigurationOptions, match="'warp' is not declared by trainer 'custom'"):
        trainer_of(spec, {}).must_allow(spec)


def test_a_method_runs_only_where_its_code_runs() -> None:
    spec = with_code(CUSTOM01, backends=["cuda", "mlx"])
    with pytest.raises(InvalidMethod, match="does not run on cuda"):
        trainer_of(spec, {}).must_allow(spec)


def test_specs_that_were_stored_before_there_was_code_stay_readable() -> None:
    stored = CUSTOM01.model_dump(mode="json")
    del stored["code"]
    assert MethodSpec.model_validate(stored) == CUSTOM01
