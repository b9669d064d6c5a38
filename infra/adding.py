"""A new method from what somebody filled in: what was left empty comes from a method to copy, or from the trainer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adapters import trainers
from domain.bounded import shown
from domain.catalogue.method_spec import MethodSpec
from domain.catalogue.options import ConfigurationOption
from domain.errors import InvalidMethod

if TYPE_CHECKING:
    from infra.wiring import Installation

FROM = "from_method"

_EMPTY: tuple[Any, ...] = (None, "", [])


def spec_of(tmm: "Installation", asked: Mapping[str, Any]) -> MethodSpec:
    """The new method. `asked` are fields of a method, and `from_method` for one to copy.

    Raises `InvalidMethod`, or `MethodNotFound` for the method to copy.
    """
    given = {name: value for name, value in asked.items() if value not in _EMPTY}
    like = given.pop(FROM, None)
    copied: MethodSpec | None = None
    if like is not None:
        if not isinstance(like, str):
            raise InvalidMethod(f"{FROM}: must be the internal name of a method, not {shown(like)}.")
        copied = tmm.catalogue.method(like).spec
    fields = copied.model_dump(mode="json") if copied is not None else {}
    if "internal_name" in given:
        fields["display_name"] = given["internal_name"]
    fields |= given
    options = fields.get("configuration_options")
    if isinstance(options, Sequence) and not isinstance(options, str):
        declared = {option.name: option for option in _declared(fields.get("trainer"), copied)}
        fields["configuration_options"] = [_completed(option, declared) for option in options]
    return MethodSpec.parse(fields)


def _declared(trainer: object, copied: MethodSpec | None) -> Sequence[ConfigurationOption]:
    """What the trainer declares; nothing for one that there is not, which the catalogue will refuse."""
    if copied is not None and copied.code is not None and trainer == copied.trainer:
        return copied.code.options
    known = trainers.declarations()
    return known[trainer].options if isinstance(trainer, str) and trainer in known else ()


def _completed(option: object, declared: Mapping[str, ConfigurationOption]) -> object:
    """The option with the trainer's own words, type, limits and default where none were given."""
    if not isinstance(option, Mapping):
        return option
    given = {field: value for field, value in option.items() if value not in _EMPTY}
    name = given.get("name")
    if not isinstance(name, str) or name not in declared:
        return given
    return declared[name].model_dump(mode="json", exclude_none=True) | given
