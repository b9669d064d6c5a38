"""The form of a method: its fields and its trainer's options as rows, from a method or from what somebody typed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData

from adapters.shared.showing.figures import typed_as
from adapters.web.page import text, texts
from domain.catalogue.method_spec import CUSTOM, MethodSpec
from domain.catalogue.options import ConfigurationOption, OptionType
from domain.catalogue.trainer_declaration import TrainerDeclaration

OFFERED_AT_FIRST = 5
"""Options that are ticked for a new method: trainers declare first what nearly everybody chooses."""

FIELDS = (
    "internal_name",
    "display_name",
    "method_type",
    "description",
    "trainer",
    "backends",
    "configuration_options",
    "default_base_model",
    "default_dataset",
)


@dataclass
class OptionRow:
    """An option that the trainer declares, and what is typed for it: texts, as the person left them."""

    declared: ConfigurationOption
    offered: bool
    default: str
    minimum: str = ""
    maximum: str = ""
    max_length: str = ""
    choices: tuple[str, ...] = ()
    description: str = ""

    @classmethod
    def untouched(cls, declared: ConfigurationOption, *, offered: bool) -> "OptionRow":
        return cls(declared, offered, typed_as(declared.default), choices=declared.choices or ())

    @classmethod
    def of_method(cls, declared: ConfigurationOption, option: ConfigurationOption) -> "OptionRow":
        """As a method offers it; a limit or description that is the trainer's own stays empty."""

        def own(field: str) -> str:
            value = getattr(option, field)
            return "" if value is None or value == getattr(declared, field) else typed_as(value)

        return cls(
            declared,
            True,
            typed_as(option.default),
            own("minimum"),
            own("maximum"),
            own("max_length"),
            option.choices or (),
            own("description"),
        )

    @classmethod
    def typed(cls, declared: ConfigurationOption, form: FormData) -> "OptionRow":
        name = declared.name
        return cls(
            declared,
            name in texts(form, "offer"),
            text(form, f"default.{name}"),
            text(form, f"minimum.{name}"),
            text(form, f"maximum.{name}"),
            text(form, f"max_length.{name}"),
            tuple(texts(form, f"choices.{name}")),
            text(form, f"description.{name}"),
        )

    def given(self) -> dict[str, Any]:
        """The option as a field of a method; what was left empty is the trainer's."""
        declared = self.declared
        fields: dict[str, Any] = declared.model_dump(mode="json", exclude_none=True)
        if self.default or declared.type is OptionType.TEXT:
            fields["default"] = value_typed(self.default, declared.type)
        for name in ("minimum", "maximum", "max_length"):
            if limit := getattr(self, name):
                fields[name] = number_typed(limit)
        if declared.choices is not None:
            fields["choices"] = list(self.choices)
        if self.description:
            fields["description"] = self.description
        return fields


@dataclass
class MethodForm:
    """All that stands in the form; `fields` are texts, but for `backends`."""

    fields: dict[str, Any]
    rows: list[OptionRow]
    start_from: str = ""

    @classmethod
    def new(cls, trainer: TrainerDeclaration) -> "MethodForm":
        return cls(
            {
                "trainer": trainer.name,
                "method_type": trainer.method_types[0].value,
                "backends": [backend.value for backend in trainer.backends],
            },
            [
                OptionRow.untouched(option, offered=place < OFFERED_AT_FIRST)
                for place, option in enumerate(trainer.options)
            ],
        )

    @classmethod
    def of_method(cls, spec: MethodSpec, declared: Sequence[ConfigurationOption]) -> "MethodForm":
        """What the method says, the options that it offers first."""
        by_name = {option.name: option for option in declared}
        offered = [option for option in spec.configuration_options if option.name in by_name]
        rows = [OptionRow.of_method(by_name[option.name], option) for option in offered]
        names = {option.name for option in offered}
        rows += [OptionRow.untouched(option, offered=False) for option in declared if option.name not in names]
        fields = {name: value for name, value in spec.model_dump(mode="json").items() if name in FIELDS}
        return cls({name: "" if value is None else value for name, value in fields.items()}, rows)

    @classmethod
    def typed(cls, form: FormData, declared: Sequence[ConfigurationOption]) -> "MethodForm":
        """What somebody typed, in the order of the options on the form."""
        by_name = {option.name: option for option in declared}
        order = [name for name in texts(form, "option") if name in by_name]
        order += [name for name in by_name if name not in order]
        fields: dict[str, Any] = {name: text(form, name) for name in FIELDS if name in form}
        fields["backends"] = texts(form, "backends")
        rows = [
            OptionRow.typed(by_name[name], form)
            if f"default.{name}" in form
            else OptionRow.untouched(by_name[name], offered=False)
            for name in order
        ]
        return cls(fields, rows, text(form, "start_from"))

    @property
    def code_from(self) -> str:
        """The method whose own code the new one takes over: all else of it stands in the form."""
        return self.start_from if self.fields.get("trainer") == CUSTOM else ""

    @property
    def offered(self) -> list[str]:
        """The names of the options that are ticked, in the order in which they are given."""
        return [row.declared.name for row in self.rows if row.offered]

    def given(self) -> dict[str, Any]:
        """The fields of a method as they were given; empty ones are left out."""
        fields = {name: value for name, value in self.fields.items() if value not in ("", [])}
        fields["configuration_options"] = [row.given() for row in self.rows if row.offered]
        return fields

    def changes(self, spec: MethodSpec) -> dict[str, Any]:
        """The fields that were given and are not as the method has them."""
        before = spec.model_dump(mode="json")
        before["configuration_options"] = [
            option.model_dump(mode="json", exclude_none=True) for option in spec.configuration_options
        ]
        given = {name: value for name, value in self.fields.items() if name != "backends" or value}
        given |= {name: given[name] or None for name in ("default_base_model", "default_dataset") if name in given}
        given["configuration_options"] = [row.given() for row in self.rows if row.offered]
        return {name: value for name, value in given.items() if value != before[name]}


def value_typed(typed: str, type_: OptionType) -> Any:
    """A typed value as the option's type; what is none of that type stays text, for the domain to refuse."""
    match type_:
        case OptionType.BOOLEAN:
            return {"true": True, "false": False}.get(typed.lower(), typed)
        case OptionType.NUMBER | OptionType.INTEGER:
            return number_typed(typed)
    return typed


def number_typed(typed: str) -> Any:
    """1e-4 and 100 as numbers; what is none stays text."""
    for read in (int, float):
        try:
            return read(typed)
        except ValueError:
            continue
    return typed


def options_typed(options: Sequence[ConfigurationOption], form: FormData) -> dict[str, Any]:
    """The options of a training that were typed, and are not the method's defaults."""
    given: dict[str, Any] = {}
    for option in options:
        field = f"set.{option.name}"
        if field not in form:
            continue
        typed = text(form, field)
        if typed or option.type is OptionType.TEXT:
            value = value_typed(typed, option.type)
            if value != option.default:
                given[option.name] = value
    return given
