"""The claims about options: each has a default, limits and a description, and does what it says it does."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic import BaseModel

from adapters.custom_code.trials import Trial, Trials
from domain.catalogue.options import ConfigurationOption, OptionType, OptionValue
from domain.errors import InvalidInput, Unreachable
from domain.ports import Finding


def options_are_described(trials: Trials) -> Iterator[Finding]:
    """Numbers have both limits, and every option says what it visibly changes."""
    for option in trials.options:
        claim = f"option {option.name} is described"
        if option.type in (OptionType.NUMBER, OptionType.INTEGER) and None in (option.minimum, option.maximum):
            words = "give it a smallest and a largest value: Field(…, ge=…, le=…)"
            yield Finding(claim, "broken", words)
        elif _changes(trials.module.Options, option.name) is None:
            what = 'json_schema_extra=changes("weights")'
            yield Finding(claim, "broken", f"say what it visibly changes: Field(…, {what})")
        else:
            limits = f", {option.limits}" if option.limits else ""
            yield Finding(claim, "kept", f"default {option.default}{limits}")


def nothing_undeclared_is_read(trials: Trials, trial: Trial) -> Finding:
    """`train` asks the options for nothing that the form does not show."""
    claim = "only declared options are read"
    if trial.unknown:
        return Finding(claim, "broken", f"train asks the options for {', '.join(sorted(trial.unknown))}")
    return Finding(claim, "kept", f"{len(trial.read)} of {len(trials.options)} were read")


def option_is_honoured(trials: Trials, option: ConfigurationOption) -> Finding:
    """Two trials that differ in this option alone show what it says that it changes."""
    claim = f"option {option.name} is honoured"
    declared = _changes(trials.module.Options, option.name)
    if declared is None:
        return Finding(claim, "broken", "it does not say what it visibly changes")
    beside = cast(dict[str, OptionValue], declared.get("beside") or {})
    present = {**trials.small, **beside}.get(option.name, option.default)
    other = declared.get("tried") if declared.get("tried") is not None else another_value(option, present)
    if other is None:
        return Finding(claim, "broken", "name a second value to try: changes(…, tried=…)")
    if (problem := option.problem_with(other)) is not None:
        return Finding(claim, "broken", f"the value to try is none: {problem}")
    one, two = trials.shared(**beside), trials.shared(**(beside | {option.name: other}))
    if one.error is None and isinstance(two.error, InvalidInput | Unreachable):
        return Finding(claim, "not shown", f"{other} cannot be tried here: {two.error}")
    for trial in (one, two):
        if trial.error is not None:
            return Finding(claim, "broken", f"with {_set(trial.values, option.name)}: {trials.told(trial.error)}")
    return Finding(claim, *_what_two_values_show(option.name, declared["changes"], (present, one), (other, two)))


def _what_two_values_show(
    name: str, what: str, one: tuple[OptionValue, Trial], two: tuple[OptionValue, Trial]
) -> tuple[str, str]:
    """Verdict and words for two trials, each with the value that the option had in it."""
    if name not in two[1].read:
        return "broken", "train never reads it"
    if what == "memory":
        return "not shown", f"{one[0]} and {two[0]} both train; that it saves memory is taken at its word"
    if one[1].seen(what) == two[1].seen(what):
        return "broken", f"{one[0]} and {two[0]} give the same {what}"
    return "kept", f"{one[0]} and {two[0]} give other {what}"


def _changes(model: type[BaseModel], name: str) -> dict[str, Any] | None:
    extra = model.model_fields[name].json_schema_extra
    return cast(dict[str, Any], extra) if isinstance(extra, dict) and "changes" in extra else None


def another_value(option: ConfigurationOption, present: OptionValue) -> OptionValue | None:
    """A value that is not the present one and within the limits, near enough to train and far enough to show."""
    match option.type:
        case OptionType.BOOLEAN:
            return not present
        case OptionType.CHOICE:
            return next((choice for choice in option.choices or () if choice != present), None)
        case OptionType.INTEGER:
            return _within(option, (int(present) * 2, int(present) + 1, int(present) // 2, int(present) - 1), present)
        case OptionType.NUMBER:
            value = float(present)
            return _within(option, (value * 4 or 0.1, value / 4, value + 0.1, value - 0.1), present)
    return None


def _within(option: ConfigurationOption, values: tuple[float, ...], present: OptionValue) -> OptionValue | None:
    return next((value for value in values if value != present and option.problem_with(value) is None), None)


def _set(values: Mapping[str, OptionValue], name: str) -> str:
    return f"{name}={values[name]}" if name in values else "the defaults"
