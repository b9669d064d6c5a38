"""The validator of options and the JSON Schema of run forms say the same."""

import math
from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model

from domain.catalogue.options import (
    ConfigurationOption,
    OptionType,
    declared_options,
    options_after_defaults,
    options_schema,
)
from domain.errors import InvalidConfigurationOptions

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
WORDS = st.text(alphabet="abcdef", min_size=1, max_size=5)
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@st.composite
def options(draw: st.DrawFn) -> ConfigurationOption:
    kind = draw(st.sampled_from(OptionType))
    fields: dict[str, Any] = {"name": draw(NAMES), "type": kind, "description": "what it is"}
    match kind:
        case OptionType.NUMBER | OptionType.INTEGER:
            limits = sorted(draw(st.lists(st.integers(-100, 100), min_size=3, max_size=3)))
            fields["default"] = limits[1]
            fields["minimum"] = draw(st.sampled_from([None, limits[0]]))
            fields["maximum"] = draw(st.sampled_from([None, limits[2]]))
        case OptionType.BOOLEAN:
            fields["default"] = draw(st.booleans())
        case OptionType.TEXT:
            fields["default"] = draw(WORDS)
            fields["max_length"] = draw(st.sampled_from([None, 5, 7]))
        case OptionType.CHOICE:
            choices = tuple(draw(st.lists(WORDS, min_size=1, max_size=4, unique=True)))
            fields |= {"choices": choices, "default": draw(st.sampled_from(choices))}
    return ConfigurationOption(**fields)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-200, 200), NUMBERS, st.integers(-50, 50).map(float), WORDS, st.just("a" * 9)
)


@given(option=options(), value=VALUES)
def test_the_run_form_and_the_validator_agree(option: ConfigurationOption, value: object) -> None:
    given_values = {option.name: value}
    try:
        jsonschema.validate(given_values, options_schema([option]))
        allowed_by_form = True
    except jsonschema.ValidationError:
        allowed_by_form = False
    assert (option.problem_with(value) is None) is allowed_by_form
    if allowed_by_form:
        assert options_after_defaults([option], given_values)[option.name] == value
    else:
        with pytest.raises(InvalidConfigurationOptions, match=option.name):
            options_after_defaults([option], given_values)


@given(option=options())
def test_what_is_not_given_has_its_default(option: ConfigurationOption) -> None:
    assert options_after_defaults([option], {}) == {option.name: option.default}


@given(option=options(), name=NAMES)
def test_an_option_that_is_not_offered_is_refused_by_name(option: ConfigurationOption, name: str) -> None:
    if name != option.name:
        with pytest.raises(InvalidConfigurationOptions, match=f"{name}.*not offered"):
            options_after_defaults([option], {name: 1})


def test_every_fault_is_named_at_once() -> None:
    offered = [
        ConfigurationOption(name="steps", type=OptionType.INTEGER, default=1, minimum=1, description="steps"),
        ConfigurationOption(name="rate", type=OptionType.NUMBER, default=1.0, description="rate"),
    ]
    with pytest.raises(InvalidConfigurationOptions) as refused:
        options_after_defaults(offered, {"steps": 0, "rate": math.nan, "magic": True})
    assert len(refused.value.problems) == 3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"type": "number", "default": 2, "maximum": 1}, "default of option 'x' must be at most 1"),
        ({"type": "number", "default": 1, "minimum": 2, "maximum": 1}, "minimum is above maximum"),
        ({"type": "text", "default": "a", "minimum": 1}, "for numbers and integers only"),
        ({"type": "choice", "default": "a"}, "choices must be given"),
        ({"type": "text", "default": "a", "choices": ["a"]}, "choices must be given for type choice"),
        ({"type": "choice", "default": "a", "choices": ["a", "a"]}, "repeat"),
        ({"type": "number", "default": 1, "max_length": 3}, "max_length is for text only"),
        ({"type": "integer", "default": True}, "must be a whole number"),
    ],
)
def test_a_declaration_keeps_its_own_limits(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ConfigurationOption(name="x", description="x", **fields)


@pytest.mark.parametrize(
    ("minimum", "maximum", "words"),
    [(0, 1048576, "0 to 1048576"), (1e-8, None, "at least 1e-08"), (None, 0.9, "at most 0.9"), (None, None, "")],
)
def test_limits_are_told_as_people_write_them(minimum: float | None, maximum: float | None, words: str) -> None:
    kind = OptionType.NUMBER
    option = ConfigurationOption(
        name="size", type=kind, default=0.5, minimum=minimum, maximum=maximum, description="what it is"
    )
    assert option.limits == words


@pytest.mark.parametrize(
    ("annotation", "field", "words"),
    [
        (list, Field([], description="x"), "an option is a bool, int, float, str or Literal of texts"),
        (int, Field(description="x"), "give it a default"),
        (int, Field(1, ge=0, le=9), "say what it does"),
        (int, Field(10, ge=0, le=9, description="x"), "the default of option 'warp' must be at most 9, not 10"),
        (Literal["a", "b"], Field("c", description="x"), "must be one of a, b, not 'c'"),
        (str, Field("", description="x" * 500), "description: String should have at most 400 characters"),
    ],
)
def test_what_no_form_could_show_is_named_by_its_field(annotation: Any, field: Any, words: str) -> None:
    model: type[BaseModel] = create_model("Options", warp=(annotation, field))
    with pytest.raises(TypeError) as refused:
        declared_options(model)
    assert str(refused.value).startswith("Options.warp: ")
    assert words in str(refused.value)
