"""What a message has beside its role and its words: calls of tools, thoughts, and whether it is learned."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Wrong = Callable[[str], Exception]
"""Makes the error that names file, row and column, of what is wrong there."""


OTHER_FIELDS = {"role": ("from", "speaker"), "content": ("value", "text", "parts")}
"""What a message's role and content are called by other tools: ShareGPT and Gemini among them."""
# What says of an answer whether it is learned. The flags do where they are true or false: a loss may be a number.
_WEIGHTS = ("weight", "train")
_FLAGS = ("training", "trainable", "loss")


def is_message(value: Any) -> bool:
    """Whether a value says somebody's words, by whatever names."""
    return isinstance(value, dict) and any(name in value for name in ("role", *OTHER_FIELDS["role"]))


def fields_beside(message: Mapping[str, Any], wrong: Wrong) -> dict[str, Any]:
    """The message's other fields as chat templates and trainings read them; raises what `wrong` makes.

    OpenAI's `weight` and what others have in its place become `weight: 0` where an answer is not to be learned.
    Arguments of a call are an object, as templates want them, also where they were written as JSON in a text.
    """
    flags = [*_WEIGHTS, *(name for name in _FLAGS if isinstance(message.get(name), bool))]
    fields = {
        name: value for name, value in message.items() if name not in ("role", "content", *flags) and value is not None
    }
    if not _is_learned(message, flags, wrong):
        fields["weight"] = 0
    if "tool_calls" in fields:
        fields["tool_calls"] = _calls(fields["tool_calls"], wrong)
        if not fields["tool_calls"]:
            del fields["tool_calls"]
    return fields


def tools_in(value: Any, wrong: Wrong) -> list[Any]:
    """A row's tools, which some files hold as JSON in a text; raises what `wrong` makes."""
    if isinstance(value, str):
        value = in_json(value)
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise wrong("must be a list of tools: [{…}, {…}].")
    return [_tool(_without_nulls(tool)) for tool in value]


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """LLaMA-Factory's files have the function alone."""
    return tool if "function" in tool or "parameters" not in tool else {"type": "function", "function": tool}


def _is_learned(message: Mapping[str, Any], flags: Iterable[str], wrong: Wrong) -> bool:
    learned = [message[name] for name in flags if message.get(name) is not None]
    if not all(isinstance(value, bool | int | float) and value in (0, 1) for value in learned):
        raise wrong(f"must have weight 0 (not learned) or 1 (learned), not {learned[0]!r}.")
    return all(learned)


def _calls(calls: Any, wrong: Wrong) -> list[dict[str, Any]]:
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise wrong("must have a list of calls as tool_calls: [{…}, {…}].")
    return [_call(call, wrong) for call in calls]


def _call(call: dict[str, Any], wrong: Wrong) -> dict[str, Any]:
    function = call.get("function", call)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise wrong("has a call without the name of a function: write function: {name, arguments}.")
    given = function.get("arguments") or {}
    if isinstance(given, str):
        given = in_json(given)
    if not isinstance(given, dict):
        raise wrong(f"calls {function['name']} with arguments that are no JSON object: {{…}}.")
    beside = {name: value for name, value in call.items() if name in ("id", "index") and value is not None}
    return {"type": "function", **beside, "function": {"name": function["name"], "arguments": _without_nulls(given)}}


def in_json(text: str) -> Any:
    """What a text holds as JSON; None for a text that is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _without_nulls(value: Any) -> Any:
    """Parquet writes a null for each name that any other row has there."""
    match value:
        case dict():
            return {name: _without_nulls(part) for name, part in value.items() if part is not None}
        case list():
            return [_without_nulls(part) for part in value]
        case _:
            return value
