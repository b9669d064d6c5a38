"""What somebody gave of a method, completed: what was left out is that of a method to copy, or the trainer's."""

from collections.abc import Mapping, Sequence
from typing import Any

from domain.catalogue.method_spec import MethodSpec
from domain.catalogue.options import ConfigurationOption, OptionType
from domain.catalogue.trainer_declaration import Trainers

_EMPTY: tuple[Any, ...] = (None, "", [], ())  # as forms and flows have what was left out
_MAY_BE_NONE = ("default_base_model", "default_dataset")
"""Fields of which None says that the method is to have none, whatever the copied one has."""


def new_method(asked: Mapping[str, Any], copied: MethodSpec | None, trainers: Trainers) -> MethodSpec:
    """The new method of these fields; a field that is empty was left out. Raises `InvalidMethod`.

    The display name is the internal name unless it is given. Where a trainer trains methods of one type only, that is
    the type; without backends it is all that the trainer runs on.
    """
    given = filled_in(asked)
    fields = copied.model_dump(mode="json") if copied is not None else {}
    if "internal_name" in given:
        fields["display_name"] = given["internal_name"]
    fields |= given
    trainer = fields.get("trainer")
    if copied is None and isinstance(trainer, str) and (declared := trainers.get(trainer)) is not None:
        if len(declared.method_types) == 1:
            fields.setdefault("method_type", declared.method_types[0])
        fields.setdefault("backends", list(declared.backends))
    if "configuration_options" in fields:
        options = options_declared(trainer, copied, trainers)
        fields["configuration_options"] = completed(fields["configuration_options"], options)
    return MethodSpec.parse(fields)


def filled_in(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that were not left out."""
    return {
        name: value for name, value in asked.items() if value not in _EMPTY or (value is None and name in _MAY_BE_NONE)
    }


def changed_fields(changes: Mapping[str, Any], present: MethodSpec, trainers: Trainers) -> dict[str, Any]:
    """Changes of a method, in which options are completed as those of a new one are."""
    if "configuration_options" not in changes:
        return dict(changes)
    options = options_declared(changes.get("trainer", present.trainer), present, trainers)
    return {**changes, "configuration_options": completed(changes["configuration_options"], options)}


def options_declared(trainer: object, like: MethodSpec | None, trainers: Trainers) -> Sequence[ConfigurationOption]:
    """What the trainer declares; nothing for one that there is not, which the catalogue will refuse."""
    if like is not None and like.code is not None and trainer == like.trainer:
        return like.code.options
    return trainers[trainer].options if isinstance(trainer, str) and trainer in trainers else ()


def completed(options: object, declared: Sequence[ConfigurationOption]) -> object:
    """Each option with the trainer's own words, type, limits and default where none were given."""
    if not isinstance(options, Sequence) or isinstance(options, str):
        return options
    by_name = {option.name: option for option in declared}
    return [_completed(option, by_name) for option in options]


def _completed(option: object, declared: Mapping[str, ConfigurationOption]) -> object:
    if isinstance(option, ConfigurationOption):
        option = option.model_dump(mode="json", exclude_none=True)
    if not isinstance(option, Mapping):
        return option
    # An empty text may be a default.
    given = {
        field: value for field, value in option.items() if value not in _EMPTY or (field, value) == ("default", "")
    }
    name = given.get("name")
    if not isinstance(name, str):
        return given
    if name not in declared:
        return {"description": name.replace("_", " ").capitalize()} | given
    trainers_own = declared[name].model_dump(mode="json", exclude_none=True)
    if given.get("default") == "" and declared[name].type is not OptionType.TEXT:
        del given["default"]
    if given.get("type", trainers_own["type"]) != trainers_own["type"]:
        return {"description": trainers_own["description"]} | given  # its limits are those of another type
    return trainers_own | given
