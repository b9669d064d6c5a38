"""Rewards that a program can verify: named, weighted, and composed in one line of text.

`exact_answer=1, format=0.2` gives 1 for the right answer and 0.2 for reasoning before it. Some rewards take arguments,
written as JSON: `regex("^[0-9]+$")=0.5, length(200)=0.1`.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.trainers.patterns import Pattern
from domain.runs.grading import expected_answer, is_right, reasons_before_it_answers
from domain.training import InvalidInput, Row

# What a reward says of one completion of one row's prompt, usually between 0 and 1.
Judge = Callable[[str, Row], float]

_NAME = re.compile(r"\s*([a-z][a-z0-9_]*)\s*")
_WEIGHT = re.compile(r"\s*=\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


@dataclass(frozen=True)
class Reward:
    """One reward with its weight. `name` is unique among those of a run."""

    name: str
    weight: float
    judge: Judge
    needs_answer: bool = False


class Rewards:
    """The rewards of a run, and their weighted sum."""

    def __init__(self, rewards: Sequence[Reward]) -> None:
        self.rewards = tuple(rewards)

    @property
    def parts(self) -> tuple[str, ...]:
        """The rewards' names, in their order."""
        return tuple(reward.name for reward in self.rewards)

    def score(self, prompts: Sequence[Any], completions: Sequence[str], rows: Sequence[Row]) -> list[float]:
        """The weighted sum for each completion; `rows` are those that the prompts came from."""
        return [
            sum(reward.weight * reward.judge(completion, row) for reward in self.rewards)
            for completion, row in zip(completions, rows, strict=True)
        ]

    def must_fit(self, rows: Sequence[Row]) -> None:
        """Raise `InvalidInput` if a reward needs an answer that a row does not have."""
        for reward in self.rewards:
            if not reward.needs_answer:
                continue
            for number, row in enumerate(rows, start=1):
                if expected_answer(row) is None:
                    raise InvalidInput(
                        f"The reward {reward.name!r} needs the column 'answer', which training row {number} does not "
                        "have. Add it, name the column that holds it (--columns answer=NAME), or choose other rewards."
                    )


def parse_rewards(text: str) -> Rewards:
    """Rewards from the text of the option. Raises `InvalidInput` naming the reward that is wrong."""
    rewards: list[Reward] = []
    position = 0
    while position < len(text):
        name = _NAME.match(text, position)
        if name is None:
            raise _wrong(text, position, "a reward's name is expected")
        arguments, position = _arguments(text, name.end(), name[1])
        weight = _WEIGHT.match(text, position)
        if weight is None:
            raise _wrong(text, position, f"the weight of {name[1]!r} is missing: write {name[1]}=1")
        position = weight.end()
        if position < len(text):
            if text[position] != ",":
                raise _wrong(text, position, "rewards are separated by commas")
            position += 1
        rewards.append(_made(name[1], arguments, float(weight[1])))
    if not any(reward.weight for reward in rewards):
        raise InvalidInput("The option 'rewards' names no reward with a weight. Write for example: exact_answer=1")
    if repeated := {reward.name for reward in rewards if [r.name for r in rewards].count(reward.name) > 1}:
        raise InvalidInput(f"The option 'rewards' names {sorted(repeated)[0]!r} twice. Keep one of them.")
    return Rewards(rewards)


def _arguments(text: str, position: int, name: str) -> tuple[list[Any], int]:
    if text[position : position + 1] != "(":
        return [], position
    arguments: list[Any] = []
    decoder = json.JSONDecoder()
    while text[position : position + 1] != ")":
        position = _after_blanks(text, position + 1)
        try:
            argument, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError:
            raise _wrong(text, position, f'the argument of {name!r} must be JSON, such as 200 or "text"') from None
        arguments.append(argument)
        position = _after_blanks(text, position)
        if text[position : position + 1] not in (",", ")"):
            raise _wrong(text, position, f"the arguments of {name!r} end with )")
    return arguments, position + 1


def _after_blanks(text: str, position: int) -> int:
    while text[position : position + 1].isspace():
        position += 1
    return position


def _wrong(text: str, position: int, what: str) -> InvalidInput:
    return InvalidInput(f"The option 'rewards' cannot be read at character {position + 1} of {text!r}: {what}.")


def _made(name: str, arguments: Sequence[Any], weight: float) -> Reward:
    if name not in _KNOWN:
        raise InvalidInput(f"There is no reward {name!r} (there are: {', '.join(sorted(_KNOWN))}).")
    known = _KNOWN[name]
    if len(arguments) != len(known.takes) or not all(
        isinstance(argument, kind) and not isinstance(argument, bool)
        for argument, kind in zip(arguments, known.takes, strict=True)
    ):
        raise InvalidInput(f"The reward {name!r} is written {known.written}.")
    return Reward(name, weight, known.make(*arguments), needs_answer=known.needs_answer)


def _exact_answer() -> Judge:
    return lambda said, row: float(is_right(said, str(expected_answer(row))))


def _format() -> Judge:
    return lambda said, _: float(reasons_before_it_answers(said))


def _regex(pattern: str) -> Judge:
    searched = Pattern(pattern, of="The reward 'regex'", dotall=True)
    return lambda said, _: float(searched.is_in(said))


def _json_schema(schema: dict[str, Any]) -> Judge:
    import jsonschema
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    validator = jsonschema.validators.validator_for(schema)
    limited: Any = jsonschema.validators.extend
    patterns: dict[str, Pattern] = {}

    def must_have(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
        if isinstance(instance, str) and not patterns[pattern].is_in(instance):
            yield jsonschema.ValidationError("the pattern is not in it")

    try:
        validator.check_schema(schema)
        patterns |= {pattern: Pattern(pattern, of="The reward 'json_schema'") for pattern in _patterns_in(schema)}
        # Nothing is fetched, and a schema that refers to itself without end shows it on any value.
        checking = limited(validator, {"pattern": must_have})(schema, registry=Registry())
        for value in (None, "", 0, [0], {"": 0}):
            checking.is_valid(value)
    except jsonschema.SchemaError as error:
        raise InvalidInput(f"The reward 'json_schema' has a schema that cannot be used: {error.message}.") from None
    except (RecursionError, Unresolvable) as error:
        raise InvalidInput(f"The reward 'json_schema' has a schema whose $ref leads nowhere: {error}.") from None

    def judge(said: str, _: Row) -> float:
        try:
            return float(checking.is_valid(json.loads(said)))
        except (ValueError, RecursionError):  # no JSON, or deeper than anybody nests
            return 0.0

    return judge


def _patterns_in(schema: Any) -> Iterator[str]:
    match schema:
        case dict():
            for name, inner in schema.items():
                if name == "pattern" and isinstance(inner, str):
                    yield inner
                elif name == "patternProperties" and inner:
                    raise InvalidInput("The reward 'json_schema' takes no patternProperties. Write pattern instead.")
                yield from _patterns_in(inner)
        case list():
            for inner in schema:
                yield from _patterns_in(inner)


def _length(longest: int) -> Judge:
    if longest < 1:
        raise InvalidInput("The reward 'length' takes a number of characters of at least 1.")
    return lambda said, _: max(0.0, min(1.0, 2.0 - len(said) / longest))


@dataclass(frozen=True)
class _Known:
    make: Callable[..., Judge]
    written: str
    takes: tuple[type, ...] = ()
    needs_answer: bool = False


_KNOWN = {
    # 1 for the row's answer, marked as such (`<answer>…</answer>`, `#### …` or `\boxed{…}`) or alone.
    "exact_answer": _Known(_exact_answer, "exact_answer=1", needs_answer=True),
    # 1 for `<think>…</think><answer>…</answer>` and nothing around it.
    "format": _Known(_format, "format=1"),
    # 1 if the pattern is found anywhere.
    "regex": _Known(_regex, 'regex("pattern")=1', (str,)),
    # 1 for JSON that the schema allows.
    "json_schema": _Known(_json_schema, 'json_schema({"type": "object"})=1', (dict,)),
    # 1 up to so many characters, falling evenly to 0 at twice as many.
    "length": _Known(_length, "length(200)=1", (int,)),
}
