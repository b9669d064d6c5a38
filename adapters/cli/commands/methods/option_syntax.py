"""How options are typed: `--option` declares one of a method, `--set` gives one a value for a run."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from domain.catalogue.options import ConfigurationOption, OptionType
from domain.errors import InvalidConfigurationOptions

OPTION_HELP = (
    "An option to offer, as NAME:TYPE=DEFAULT and then ,minimum=… ,maximum=… ,choices=a|b ,max_length=… "
    "and, last, ,description=… where they fit. TYPE is number, integer, boolean, text or choice. "
    "Of an option that is there already, what is not given stays. Repeatable."
)
SET_HELP = "A value for one of the method's options, as OPTION=VALUE. Repeatable."

_LIMITS = ("minimum", "maximum", "choices", "max_length")
_DESCRIPTION = ",description="
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def value_of(text: str, option_type: OptionType) -> object:
    """A typed value. What cannot be read as the option's type stays text, and the domain says what is wrong with it."""
    try:
        match option_type:
            case OptionType.NUMBER:
                return float(text)
            case OptionType.INTEGER:
                return _whole(text)
            case OptionType.BOOLEAN if text.lower() in _TRUE + _FALSE:
                return text.lower() in _TRUE
    except ValueError:
        pass
    return text


def _whole(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)  # 1e3 is a whole number too, and 1.5 is told as what it is


def values_given(settings: Iterable[str], offered: Sequence[ConfigurationOption]) -> dict[str, object]:
    """The values of `--set`, each as its option's type. Unknown names stay in, for the domain to refuse."""
    types = {option.name: option.type for option in offered}
    values: dict[str, object] = {}
    problems = []
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            problems.append(f"--set {setting!r} must read OPTION=VALUE")
        elif name in values:
            problems.append(f"option {name!r} is set twice")
        else:
            values[name] = value_of(text, types.get(name, OptionType.TEXT))
    if problems:
        raise InvalidConfigurationOptions(problems)
    return values


def options_changed(
    present: Sequence[ConfigurationOption],
    declarations: Iterable[str],
    removed: Iterable[str] = (),
    *,
    declared: Sequence[ConfigurationOption] = (),
) -> list[dict[str, Any]]:
    """A method's options, as fields of a spec, after `--option` and `--remove-option`.

    `declared` are those of the trainer: what is left out of a new one is theirs.
    """
    fields = {option.name: option.model_dump(mode="json", exclude_none=True) for option in present}
    trainers_own = {option.name: option.model_dump(mode="json", exclude_none=True) for option in declared}
    given: set[str] = set()
    problems = []
    for name in removed:
        if fields.pop(name, None) is None:
            problems.append(f"option {name!r} cannot be removed, because the method does not offer it")
    for declaration in declarations:
        try:
            option = option_declared(declaration, trainers_own | fields)
        except InvalidConfigurationOptions as error:
            problems += error.problems
            continue
        if option["name"] in given:
            problems.append(f"option {option['name']!r} is declared twice")
        given.add(option["name"])
        fields[option["name"]] = option
    if problems:
        raise InvalidConfigurationOptions(problems)
    return list(fields.values())


def option_declared(text: str, present: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One `--option`, as fields of a `ConfigurationOption`; what it leaves out is taken from `present`.

    Raises `InvalidConfigurationOptions` for what does not read as a declaration; the limits themselves are the
    domain's to check.
    """
    declaration, _, description = text.partition(_DESCRIPTION)
    head, *limits = re.split(r",(?=\w+=)", declaration)
    name_and_type, has_default, default = head.partition("=")
    name, has_type, type_name = name_and_type.partition(":")
    fields = dict(present.get(name, {}))
    if has_type and type_name != fields.get("type"):
        # Another type has other limits: nothing but the description can stay.
        fields = {field: fields[field] for field in ("description",) if field in fields}
        fields["type"] = type_name
    if not name or fields.get("type") not in set(OptionType):
        types = ", ".join(OptionType)
        raise InvalidConfigurationOptions([f"--option {text!r} must read NAME:TYPE=DEFAULT, where TYPE is {types}"])
    option_type = OptionType(fields["type"])
    fields["name"] = name
    if has_default:
        fields["default"] = value_of(default, option_type)
    elif "default" not in fields:
        raise InvalidConfigurationOptions([f"option {name!r} needs a default: --option {name}:{option_type}=DEFAULT"])
    for limit in limits:
        key, _, value = limit.partition("=")
        fields[key] = _limit(name, key, value)
    if description:
        fields["description"] = description
    return fields


def _limit(option: str, key: str, text: str) -> object:
    if key not in _LIMITS:
        raise InvalidConfigurationOptions(
            [f"option {option!r}: there is no {key!r} (there are: {', '.join(_LIMITS)} and, last, description)"]
        )
    if key == "choices":
        return text.split("|")
    try:
        return int(text) if key == "max_length" else float(text)
    except ValueError:
        raise InvalidConfigurationOptions([f"option {option!r}: {key} must be a number, not {text!r}"]) from None
