"""Messages as people have them, in the roles and fields that chat templates know."""

from collections.abc import Mapping
from typing import Any

from adapters.datasets.message_fields import Wrong, fields_beside, in_json

ROLES = ("system", "user", "assistant", "tool")

_OTHER_ROLES = {
    "developer": "system",
    "human": "user",
    "prompter": "user",
    **dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "model", "ai", "bot"), "assistant"),
    **dict.fromkeys(("function_call", "tool_call"), "assistant"),
    **dict.fromkeys(("function", "observation", "function_response", "tool_response"), "tool"),
}
"""What other tools and files call the roles: OpenAI, ShareGPT, OpenAssistant and Gemini among them."""
_ROLES_THAT_CALL = ("function_call", "tool_call")
_TEXT_PARTS = ("text", "input_text", "output_text")


def message_of(message: Any, wrong: Wrong) -> dict[str, Any]:
    """A message with role, content and what templates read beside; raises what `wrong` makes.

    Takes ShareGPT's `from` and `value`, content in parts of text, no content beside calls, and calls as words.
    """
    if not isinstance(message, dict):
        raise wrong(f"must be an object with role and content, not {kind_of(message)}.")
    said = _in_our_fields(message)
    role = _role(said, wrong)
    if said.get("role") in _ROLES_THAT_CALL:
        said = {**said, "content": None, "tool_calls": _calls_in(said.get("content"), wrong)}
    if isinstance(said.get("function_call"), dict) and "tool_calls" not in said:
        said["tool_calls"] = [{"function": said["function_call"]}]
    said.pop("function_call", None)
    beside = fields_beside(said, wrong)
    content = _content(said, wrong, may_be_missing="tool_calls" in beside)
    if role == "assistant" and not content.strip() and "tool_calls" not in beside:
        raise wrong(": the assistant says nothing. Fill it in or remove the row.")
    return {"role": role, "content": content, **beside}


def kind_of(value: Any) -> str:
    """What a value is, in words."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return f"the number {value}"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"


def _in_our_fields(message: Mapping[str, Any]) -> dict[str, Any]:
    if {"from", "value"} <= message.keys():
        return {**message, "role": message["from"], "content": message["value"]}
    return dict(message)


def _role(message: Mapping[str, Any], wrong: Wrong) -> str:
    if "role" not in message:
        raise wrong("has no 'role'.")
    role = message["role"]
    if not isinstance(role, str):
        raise wrong(f": role must be text, not {kind_of(role)}.")
    role = _OTHER_ROLES.get(role, role)
    if role not in ROLES:
        raise wrong(f"has the unknown role {role!r}. Use one of {', '.join(ROLES)}.")
    return role


def _content(message: Mapping[str, Any], wrong: Wrong, *, may_be_missing: bool) -> str:
    content = message.get("content")
    if content is None and may_be_missing:
        return ""
    if "content" not in message:
        raise wrong("has no 'content'.")
    if isinstance(content, list) and content:
        return "".join(_text_of_part(part, number, wrong) for number, part in enumerate(content, start=1))
    if not isinstance(content, str):
        raise wrong(f": content must be text, not {kind_of(content)}.")
    return content


def _text_of_part(part: Any, number: int, wrong: Wrong) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in _TEXT_PARTS and isinstance(part.get("text"), str):
        return str(part["text"])
    what = f"of type {kind!r}" if isinstance(kind, str) else kind_of(part)
    raise wrong(
        f"has in its content part {number}, {what}: models are trained on text here. Keep parts such as "
        '{"type": "text", "text": "…"}, or remove the row.'
    )


def _calls_in(words: Any, wrong: Wrong) -> list[Any]:
    """ShareGPT writes a call, or a list of calls, as JSON in a text."""
    calls = in_json(words) if isinstance(words, str) else words
    if isinstance(calls, dict):
        return [calls]
    if not isinstance(calls, list) or not calls:
        raise wrong('must hold a call as JSON: {"name": "…", "arguments": {…}}.')
    return calls
