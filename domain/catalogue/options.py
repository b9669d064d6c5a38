"""Configuration options: what a method lets its users choose, with defaults and limits.

One declaration gives both the JSON Schema of a run form and the validator that has the last word; a property-based
test holds the two together.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from domain.bounded import WHOLE_AT_MOST, shown
from domain.errors import InvalidConfigurationOptions

OptionValue = float | int | bool | str

OPTIONS_AT_MOST = 100
"""Options of one method, or values of one run."""

CHOICES_AT_MOST = 100
"""Choices of one option."""

TEXT_AT_MOST = 4_000
"""Characters of a text that an option has, and of a choice."""

OptionName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class OptionType(StrEnum):
    """The kinds of value an option can have."""

    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TEXT = "text"
    CHOICE = "choice"


_JSON_TYPE = {
    OptionType.NUMBER: "number",
    OptionType.INTEGER: "integer",
    OptionType.BOOLEAN: "boolean",
    OptionType.TEXT: "string",
    OptionType.CHOICE: "string",
}


class ConfigurationOption(BaseModel):
    """One option: name, type, default, limits and a description for people.

    Limits belong to types: `minimum` and `maximum` (both inclusive) to numbers and integers, `choices` to choices,
    `max_length` (in characters) to text. A default must keep its own limits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: OptionName
    type: OptionType
    default: OptionValue
    minimum: float | None = Field(default=None, allow_inf_nan=False)
    maximum: float | None = Field(default=None, allow_inf_nan=False)
    choices: tuple[str, ...] | None = None
    max_length: int | None = Field(default=None, ge=0)
    description: str = Field(min_length=1, max_length=400)

    @model_validator(mode="before")
    @classmethod
    def _default_has_the_options_type(cls, data: Any) -> Any:
        # Pydantic's union would keep 1 as an integer for a number; an option's default has the option's own type.
        if isinstance(data, dict) and data.get("type") == "number" and type(data.get("default")) is int:
            with suppress(OverflowError):  # then it is no number, as is said below
                return data | {"default": float(data["default"])}
        return data

    @model_validator(mode="after")
    def _limits_fit_the_type(self) -> Self:
        numeric = self.type in (OptionType.NUMBER, OptionType.INTEGER)
        if not numeric and (self.minimum is not None or self.maximum is not None):
            raise ValueError(f"option {self.name!r}: minimum and maximum are for numbers and integers only")
        if (self.choices is not None) != (self.type is OptionType.CHOICE):
            raise ValueError(f"option {self.name!r}: choices must be given for type choice, and only there")
        if self.choices is not None and (not self.choices or len(set(self.choices)) != len(self.choices)):
            raise ValueError(f"option {self.name!r}: choices must not be empty or repeat themselves")
        if self.max_length is not None and self.type is not OptionType.TEXT:
            raise ValueError(f"option {self.name!r}: max_length is for text only")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"option {self.name!r}: minimum is above maximum")
        if (problem := self._problem_with(self.default)) is not None:
            raise ValueError(f"the default of {problem}")
        return self

    def problem_with(self, value: object) -> str | None:
        """What is wrong with this value, naming the option, or None."""
        return self._problem_with(value) or self._too_large(value)

    def _too_large(self, value: object) -> str | None:
        if self.type is OptionType.INTEGER and isinstance(value, float):
            value = int(value)
        problem = too_large(value)
        return f"option {self.name!r} {problem}" if problem else None

    def beyond_limits(self) -> str | None:
        """What of this option is more than a catalogue takes, or None.

        No validator's rule: what was stored before there were limits stays readable.
        """
        if (problem := self._too_large(self.default)) is not None:
            return f"the default of {problem}"
        if self.max_length is not None and self.max_length > TEXT_AT_MOST:
            return f"option {self.name!r} may have at most {TEXT_AT_MOST:,} characters: lower its max_length"
        if len(self.choices or ()) > CHOICES_AT_MOST:
            return f"option {self.name!r} may have at most {CHOICES_AT_MOST} choices, not {len(self.choices or ()):,}"
        if any(len(choice) > TEXT_AT_MOST for choice in self.choices or ()):
            return f"a choice of option {self.name!r} may have at most {TEXT_AT_MOST:,} characters"
        return None

    def _problem_with(self, value: object) -> str | None:  # noqa: PLR0911 -- one return a rule reads best
        if not self._has_type(value):
            return f"option {self.name!r} must be {_ARTICLE[self.type]}, not {shown(value)}"
        match value:
            case str() if self.choices is not None and value not in self.choices:
                return f"option {self.name!r} must be one of {', '.join(self.choices)}, not {shown(value)}"
            case str() if self.max_length is not None and len(value) > self.max_length:
                return f"option {self.name!r} must have at most {self.max_length} characters, not {len(value)}"
            case bool() | str():
                return None
            case int() | float() if self.minimum is not None and value < self.minimum:
                return f"option {self.name!r} must be at least {self.minimum:g}, not {_number(value)}"
            case int() | float() if self.maximum is not None and value > self.maximum:
                return f"option {self.name!r} must be at most {self.maximum:g}, not {_number(value)}"
        return None

    def _has_type(self, value: object) -> bool:
        match self.type:
            case OptionType.NUMBER:
                return isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)
            case OptionType.INTEGER:
                # JSON knows one kind of number: 3.0 is an integer there, and so it is here.
                whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
                return whole and not isinstance(value, bool)
            case OptionType.BOOLEAN:
                return isinstance(value, bool)
            case OptionType.TEXT | OptionType.CHOICE:
                return isinstance(value, str)

    def converted(self, value: OptionValue) -> OptionValue:
        """A valid value as the option's own Python type."""
        match self.type:
            case OptionType.NUMBER:
                return float(value)
            case OptionType.INTEGER:
                return int(value)
            case _:
                return value

    @property
    def limits(self) -> str:
        """The limits in words, as shown to people; empty when there are none."""
        if self.choices is not None:
            return "one of " + ", ".join(self.choices)
        if self.max_length is not None:
            return f"at most {self.max_length} characters"
        match self.minimum, self.maximum:
            case float(low), float(high):
                return f"{_plain(low)} to {_plain(high)}"
            case float(low), None:
                return f"at least {_plain(low)}"
            case None, float(high):
                return f"at most {_plain(high)}"
        return ""

    def json_schema(self) -> dict[str, Any]:
        """This option as a JSON Schema property; limits are repeated in words because run forms do not show them."""
        schema: dict[str, Any] = {
            "title": self.name,
            "type": _JSON_TYPE[self.type],
            "default": self.default,
            "description": self.description + (f" ({self.limits})" if self.limits else ""),
        }
        limits = {
            "minimum": self.minimum,
            "maximum": self.maximum,
            "enum": list(self.choices) if self.choices is not None else None,
            "maxLength": self.max_length,
        }
        return schema | {name: limit for name, limit in limits.items() if limit is not None}

    def problem_beside(self, declared: "ConfigurationOption") -> str | None:
        """Why this option cannot stand for what its trainer declared, or None: it may narrow, never widen."""
        if self.type is not declared.type:
            return f"option {self.name!r} must have the type {declared.type} that the trainer declares, not {self.type}"
        wider = (
            (declared.minimum is not None and (self.minimum is None or self.minimum < declared.minimum))
            or (declared.maximum is not None and (self.maximum is None or self.maximum > declared.maximum))
            or (declared.choices is not None and not set(self.choices or ()) <= set(declared.choices))
            or (declared.max_length is not None and (self.max_length is None or self.max_length > declared.max_length))
        )
        if wider:
            return f"option {self.name!r} must stay within the trainer's limits ({declared.limits})"
        return None


def _plain(limit: float) -> str:
    """1048576 and not 1.04858e+06; 1e-08 stays."""
    return f"{limit:.0f}" if limit.is_integer() and abs(limit) < 1e12 else f"{limit:g}"


def too_large(value: object) -> str | None:
    """Why a value of an option is more than the event log takes, completing «option 'x' …»; None when it is not."""
    if isinstance(value, int) and abs(value) > WHOLE_AT_MOST:
        return f"must lie between -{WHOLE_AT_MOST} and {WHOLE_AT_MOST}, not {shown(value)}"
    if isinstance(value, str) and len(value) > TEXT_AT_MOST:
        return f"must have at most {TEXT_AT_MOST:,} characters, not {len(value):,}"
    return None


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float reaches
        return False


def _number(value: float) -> str:
    return shown(value) if abs(value) > WHOLE_AT_MOST else f"{value:g}"


_ARTICLE = {
    OptionType.NUMBER: "a number",
    OptionType.INTEGER: "a whole number",
    OptionType.BOOLEAN: "true or false",
    OptionType.TEXT: "text",
    OptionType.CHOICE: "text",
}


def must_keep_limits(options: Sequence[ConfigurationOption]) -> None:
    """Raise `ValueError` if these are more options, or larger ones, than a catalogue takes."""
    if len(options) > OPTIONS_AT_MOST:
        raise ValueError(f"configuration_options: at most {OPTIONS_AT_MOST} are taken, not {len(options):,}")
    if problem := next(filter(None, (option.beyond_limits() for option in options)), None):
        raise ValueError(f"configuration_options: {problem}")


def options_schema(options: Sequence[ConfigurationOption]) -> dict[str, Any]:
    """The JSON Schema of an object with these options; unknown names are refused."""
    return {
        "type": "object",
        "title": "options",
        "properties": {option.name: option.json_schema() for option in options},
        "additionalProperties": False,
    }


def options_after_defaults(
    options: Sequence[ConfigurationOption], given: Mapping[str, object]
) -> dict[str, OptionValue]:
    """The given values, checked, with defaults for the rest.

    Raises `InvalidConfigurationOptions` naming every fault.
    """
    offered = {option.name: option for option in options}
    problems = [
        f"option {shown(name)} is not offered by this method (it offers {', '.join(offered) or 'none'})"
        for name in given
        if name not in offered
    ]
    problems += [
        problem
        for name, value in given.items()
        if name in offered and (problem := offered[name].problem_with(value)) is not None
    ]
    if problems:
        raise InvalidConfigurationOptions(problems)
    values: dict[str, Any] = {option.name: option.default for option in options} | dict(given)
    return {name: offered[name].converted(value) for name, value in values.items()}


def declared_options(model: type[BaseModel]) -> tuple[ConfigurationOption, ...]:
    """The options that a trainer's pydantic model declares.

    Fields read `name: type = Field(default, ge=…, le=…, description=…)`; a `Literal` of texts is a choice. Raises
    `TypeError`, naming the field, for one that no form could show.
    """
    return tuple(_declared(name, model) for name in model.model_fields)


_OPTION_TYPES: dict[type, OptionType] = {
    bool: OptionType.BOOLEAN,
    int: OptionType.INTEGER,
    float: OptionType.NUMBER,
    str: OptionType.TEXT,
}


def _declared(name: str, model: type[BaseModel]) -> ConfigurationOption:
    field = model.model_fields[name]
    annotation = field.annotation
    is_choice = get_origin(annotation) is Literal
    if not is_choice and annotation not in _OPTION_TYPES:
        raise TypeError(f"{model.__qualname__}.{name}: an option is a bool, int, float, str or Literal of texts")
    if field.is_required():
        raise TypeError(f"{model.__qualname__}.{name}: give it a default: Field(…)")
    if not field.description:
        raise TypeError(f'{model.__qualname__}.{name}: say what it does: Field(…, description="…")')
    limits = {type(limit): limit for limit in field.metadata}
    minimum, maximum = limits.get(Ge), limits.get(Le)
    try:
        return ConfigurationOption(
            name=name,
            type=OptionType.CHOICE if is_choice else _OPTION_TYPES[annotation],  # type: ignore[index]  # checked above
            default=field.get_default(call_default_factory=True),
            minimum=minimum.ge if minimum else None,
            maximum=maximum.le if maximum else None,
            choices=get_args(annotation) if is_choice else None,
            max_length=next((m.max_length for m in field.metadata if hasattr(m, "max_length")), None),
            description=field.description,
        )
    except ValidationError as error:
        first = error.errors()[0]
        words = ": ".join([*map(str, first["loc"]), first["msg"].removeprefix("Value error, ")])
        raise TypeError(f"{model.__qualname__}.{name}: {words}") from None
