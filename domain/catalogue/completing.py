"""A method from what somebody gave: what they left out comes from a method to copy, or from the trainer."""

from collections.abc import Mapping, Sequence
from typing import Any

from domain.catalogue.method_spec import MethodSpec
from domain.catalogue.options import ConfigurationOption
from domain.catalogue.trainer_declaration import Trainers

_EMPTY: tuple[Any, ...] = (None, "", [])
_MAY_BE_NONE = ("default_base_model", "default_dataset")


def completed(given: Mapping[str, Any], *, copied: MethodSpec | None, trainers: Trainers) -> MethodSpec:
    """The new method. Fields that are empty were left out, but for a default that is None: then there is none.

    Raises `InvalidMethod`.
    """
    fields = copied.model_dump(mode="json") if copied is not None else {}
    there = {
        name: value for name, value in given.items() if value not in _EMPTY or (value is None and name in _MAY_BE_NONE)
    }
    if "internal_name" in there:
        fields["display_name"] = there["internal_name"]
    fields |= there
    declared = _declared(fields.get("trainer"), copied, trainers)
    return MethodSpec.parse(with_options_completed(fields, declared))


def with_options_completed(fields: Mapping[str, Any], declared: Sequence[ConfigurationOption]) -> dict[str, Any]:
    """The fields, with the trainer's own words, type, limits and default for options that were given none."""
    options = fields.get("configuration_options")
    if not isinstance(options, Sequence) or isinstance(options, str):
        return dict(fields)
    known = {option.name: option for option in declared}
    return {**fields, "configuration_options": [_completed(option, known) for option in options]}


def declared_by(spec: MethodSpec, trainers: Trainers) -> Sequence[ConfigurationOption]:
    """What a method's code or trainer declares."""
    return _declared(spec.trainer, spec, trainers)


def _declared(trainer: object, copied: MethodSpec | None, trainers: Trainers) -> Sequence[ConfigurationOption]:
    """Nothing for a trainer that there is not, which the catalogue will refuse."""
    if copied is not None and copied.code is not None and trainer == copied.trainer:
        return copied.code.options
    return trainers[trainer].options if isinstance(trainer, str) and trainer in trainers else ()


def _completed(option: object, declared: Mapping[str, ConfigurationOption]) -> object:
    if not isinstance(option, Mapping):
        return option
    given = {field: value for field, value in option.items() if value not in _EMPTY}
    name = given.get("name")
    if not isinstance(name, str):
        return given
    words = {"description": name.replace("_", " ").capitalize()}
    of_the_trainer = declared[name].model_dump(mode="json", exclude_none=True) if name in declared else {}
    return words | of_the_trainer | given
