"""What a training method is made of, before any rule about who may make it."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from domain.bounded import shown
from domain.catalogue.options import ConfigurationOption, must_keep_limits
from domain.errors import InvalidMethod
from domain.values import Value, in_words, must_be_storable_texts

_INTERNAL_NAME = r"^[a-z][a-z0-9-]{1,62}$"
InternalName = Annotated[str, StringConstraints(pattern=_INTERNAL_NAME)]
DisplayName = Annotated[str, StringConstraints(min_length=1, max_length=80, strip_whitespace=True)]


class MethodType(StrEnum):
    """The family of algorithms that a method belongs to."""

    SFT = "SFT"
    PEFT = "PEFT"
    DPO = "DPO"
    KTO = "KTO"
    ORPO = "ORPO"
    REWARD = "REWARD"
    PPO = "PPO"
    GRPO = "GRPO"
    RLOO = "RLOO"
    OTHER = "OTHER"


class Backend(StrEnum):
    """What a training runs on: a work pool of this name carries it."""

    CUDA = "cuda"
    MLX = "mlx"


LARGEST_METHOD = 40_000
"""Bytes of a method as JSON. A change of it is stored with what was before and after: three times as many."""

CUSTOM = "custom"
"""The trainer of the methods that have code of their own."""


class MethodCode(Value):
    """A method's own training code, as it was when it was saved: what the catalogue needs to know without running it.

    `hash` (sha256, hexadecimal) is the address of the code in the artifact store; `options` are what it declares.
    """

    hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    backends: tuple[Backend, ...] = Field(min_length=1)
    options: tuple[ConfigurationOption, ...] = ()


class MethodSpec(Value):
    """Everything that people say about a method when they add it.

    `default_base_model` and `default_dataset` are what the run form suggests; a demo names its samples there. `code` is
    given for the trainer `custom`, and for no other.
    """

    internal_name: InternalName
    display_name: DisplayName
    method_type: MethodType
    description: str = Field(min_length=1, max_length=2000)
    trainer: str = Field(min_length=1, max_length=63)
    backends: tuple[Backend, ...] = Field(min_length=1)
    configuration_options: tuple[ConfigurationOption, ...] = ()
    default_base_model: str | None = Field(default=None, min_length=1, max_length=400)
    default_dataset: str | None = Field(default=None, min_length=1, max_length=400)
    code: MethodCode | None = None

    @field_validator("backends")
    @classmethod
    def _each_backend_once(cls, backends: tuple[Backend, ...]) -> tuple[Backend, ...]:
        return tuple(sorted(set(backends)))

    @model_validator(mode="after")
    def _each_option_once(self) -> Self:
        names = [option.name for option in self.configuration_options]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"option {repeated[0]!r} is declared twice")
        return self

    @model_validator(mode="after")
    def _code_and_the_custom_trainer_together(self) -> Self:
        if (self.code is not None) != (self.trainer == CUSTOM):
            raise ValueError(
                f"trainer: {CUSTOM!r} is the trainer of methods with code of their own, and of no others; "
                "code comes with a method that is added with it, or is saved for custom01 or custom02"
            )
        return self

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Self:
        """A spec from untrusted fields. Raises `InvalidMethod` naming every field that breaks its rule."""
        try:
            spec = cls.model_validate(dict(fields))
        except ValidationError as error:
            raise InvalidMethod(
                in_words(error, what="a training method", fields=cls.model_fields, hints=_HINTS)
            ) from None
        spec.must_keep_limits()
        return spec

    def must_keep_limits(self) -> None:
        """Raise `InvalidMethod` if this is more than the event log takes.

        No validator's rule: what was stored before there were limits stays readable.
        """
        try:
            must_keep_limits(self.configuration_options)
            must_keep_limits(self.code.options if self.code is not None else ())
            must_be_storable_texts(self.model_dump(mode="json"))
        except ValueError as error:
            raise InvalidMethod(str(error)) from None
        if (size := len(self.model_dump_json().encode())) > LARGEST_METHOD:
            raise InvalidMethod(
                f"The training method {self.internal_name!r} has {size:,} bytes in all, and at most "
                f"{LARGEST_METHOD:,} are taken. Shorten descriptions and choices, or offer fewer options."
            )

    @staticmethod
    def is_a_name(internal_name: object) -> bool:
        """Whether a method can have this internal name."""
        return isinstance(internal_name, str) and re.fullmatch(_INTERNAL_NAME, internal_name) is not None

    @staticmethod
    def must_be_a_name(internal_name: str) -> None:
        """Raise `InvalidMethod` unless a method can have this internal name."""
        if not MethodSpec.is_a_name(internal_name):
            raise InvalidMethod(f"internal_name: {_HINTS['internal_name']}, not {shown(internal_name)}.")

    def with_changes(self, changes: Mapping[str, Any]) -> Self:
        """This spec with some fields replaced. Raises `InvalidMethod`; the internal name cannot change."""
        if changes.get("internal_name", self.internal_name) != self.internal_name:
            raise InvalidMethod(
                f"internal_name: {self.internal_name!r} cannot be renamed; change the display name instead"
            )
        return self.parse(self.model_dump(mode="json") | dict(changes))

    def differences(self, other: "MethodSpec") -> tuple["Change", ...]:
        """What changes, field by field, when `other` takes this spec's place."""
        before, after = self.model_dump(mode="json"), other.model_dump(mode="json")
        return tuple(
            Change(field=field, before=before[field], after=after[field])
            for field in before
            if before[field] != after[field]
        )


class Change(Value):
    """One field, before and after."""

    field: str
    before: Any
    after: Any


_HINTS = {
    "internal_name": "must be 2 to 63 lower-case letters, digits and hyphens, starting with a letter",
    "display_name": "must have 1 to 80 characters",
}
