"""A new method from what somebody filled in."""

from typing import Any

import pytest

from adapters import trainers
from domain.catalogue.method_spec import MethodSpec
from domain.errors import InvalidMethod, MethodNotFound
from infra.service import Service

LEARNING_RATE = next(option for option in trainers.declarations()["sft"].options if option.name == "learning_rate")
MINE: dict[str, Any] = {
    "internal_name": "mine",
    "method_type": "SFT",
    "description": "Ours",
    "trainer": "sft",
    "backends": ["cuda"],
}


def new_of(installation: Service, asked: dict[str, Any]) -> MethodSpec:
    fields = {name: value for name, value in asked.items() if name != "from_method"}
    return installation.catalogue.completed(fields, start_from=asked.get("from_method", ""))


def test_what_was_left_empty_is_taken_from_the_method_to_copy(installation: Service) -> None:
    copied = installation.catalogue.method("sft-demo").spec
    asked = {"internal_name": "mine", "from_method": "sft-demo", "description": "Ours", "backends": [], "trainer": ""}
    assert new_of(installation, asked) == copied.with_changes(
        {"description": "Ours", "display_name": "mine"}
    ).model_copy(update={"internal_name": "mine"})


def test_what_an_option_leaves_empty_is_the_trainers(installation: Service) -> None:
    option = {"name": "learning_rate", "maximum": 1e-3, "default": 1e-4, "choices": [], "description": ""}
    (made,) = new_of(installation, MINE | {"configuration_options": [option]}).configuration_options
    assert made == LEARNING_RATE.model_copy(update={"maximum": 1e-3, "default": 1e-4})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"trainer": None, "backends": []}, "trainer: is missing; backends: is missing"),
        ({"configuration_options": [{"name": "warp"}]}, "configuration_options.0.type: is missing"),
        ({"configuration_options": ["warp"]}, "configuration_options.0"),
        ({"configuration_options": "warp"}, "configuration_options"),
        ({"internal_name": ""}, "internal_name: is missing"),
        ({"from_method": 7}, "from_method: must be the internal name of a method, not 7"),
        ({"trainer": ["sft"]}, "trainer"),
    ],
)
def test_what_makes_no_method_is_said_field_by_field(installation: Service, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidMethod, match=words):
        new_of(installation, MINE | wrong)


def test_a_method_that_there_is_not_cannot_be_copied(installation: Service) -> None:
    with pytest.raises(MethodNotFound):
        new_of(installation, {"internal_name": "mine", "from_method": "gone"})
