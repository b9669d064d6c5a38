"""What a method may be called and made of."""

import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.catalogue.method_spec import MethodSpec
from domain.errors import InvalidConfigurationOptions, InvalidMethod
from tests.support.people import RANK, RATE, TRAINERS, method

NAME = re.compile(r"[a-z][a-z0-9-]{1,62}\Z")


@given(st.text(alphabet=string.ascii_letters + string.digits + "-_ .\nä", max_size=70))
def test_internal_names_are_lower_case_letters_digits_and_hyphens(name: str) -> None:
    if NAME.match(name):
        assert method(name).internal_name == name
    else:
        with pytest.raises(InvalidMethod, match="internal_name"):
            method(name)


@given(st.text(alphabet=st.characters(exclude_categories=["C"]), max_size=90))
def test_display_names_have_1_to_80_characters(name: str) -> None:
    if 1 <= len(name.strip()) <= 80:
        assert method(display_name=name).display_name == name.strip()
    else:
        with pytest.raises(InvalidMethod, match="display_name"):
            method(display_name=name)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("method_type", "MAGIC", "method_type: must be one of SFT"),
        ("backends", [], "backends"),
        ("backends", ["tpu"], "backends"),
        ("description", "", "description"),
        ("trainer", "", "trainer"),
        ("configuration_options", [RATE, RATE], "'learning_rate' is declared twice"),
        ("colour", "red", "colour: is not a field of a training method"),
    ],
)
def test_a_field_that_breaks_its_rule_is_named(field: str, value: object, words: str) -> None:
    with pytest.raises(InvalidMethod, match=words):
        method(**{field: value})


def test_a_missing_field_is_named() -> None:
    with pytest.raises(InvalidMethod, match="trainer: is missing"):
        MethodSpec.parse({k: v for k, v in method().model_dump().items() if k != "trainer"})


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"backends": ["mlx"]}, InvalidMethod, "does not run on mlx"),
        ({"method_type": "DPO"}, InvalidMethod, "trains SFT, not DPO"),
        (
            {"configuration_options": [RANK.model_copy(update={"name": "magic"})]},
            InvalidConfigurationOptions,
            "'magic' is not declared by trainer 'sft'",
        ),
        (
            {"configuration_options": [RATE.model_copy(update={"maximum": 1.0})]},
            InvalidConfigurationOptions,
            "must stay within",
        ),
    ],
)
def test_a_method_keeps_within_what_its_trainer_declares(
    fields: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        TRAINERS["sft"].must_allow(method(**fields))


def test_a_method_may_narrow_what_its_trainer_declares() -> None:
    TRAINERS["sft"].must_allow(method(configuration_options=[RATE.model_copy(update={"maximum": 0.01})]))
