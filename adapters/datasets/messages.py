"""Messages as people have them, in the roles and fields that chat templates know."""

import json
from collections.abc import Mapping
from typing import Any

from adapters.datasets.message_fields import OTHER_FIELDS, Wrong, fields_beside, in_json

ROLES = ("system", "user", "assistant", "tool")

_OTHER_ROLES = {
    "developer": "system",
    **dict.fromkeys(("human", "prompter"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "claude", "model", "ai", "bot", "chatbot"), "assistant"),
    **dict.fromkeys(("function_call", "tool_call"), "assistant"),
    **dict.fromkeys(("function", "observation", "function_response", "tool_response", "ipython"), "tool"),
}
"""What other tools and files call the roles: OpenAI, ShareGPT, OpenAssistant and Gemini among them."""
_ROLES_THAT_CALL = ("function_call", "tool_call")
_TEXT_PARTS = ("text", "input_text", "output_text", None)
_THINKING_PARTS = ("thinking", "reasoning")
_WAYS_OUT = {
    "tool_use": "Write calls as tool_calls beside the content: [{name, arguments}].",
    "tool_result": "Write what a tool says as a message of its own with the role tool.",
}


def message_of(message: Any, wrong: Wrong) -> dict[str, Any]:
    """A message with role, content and what templates read beside; raises what `wrong` makes.

    Takes ShareGPT's `from` and `value`, content in parts of text, no content beside calls, and calls as words.
    """
    if not isinstance(message, dict):
        raise wrong(f"must be an object with role and content, not {kind_of(message)}.")
    said = _in_our_fields(message)
    written_role, role = _role(said, wrong)
    if written_role in _ROLES_THAT_CALL:
        said = {**said, "content": None, "tool_calls": _calls_in(said.get("content"), wrong)}
    if isinstance(said.get("function_call"), dict) and "tool_calls" not in said:
        said["tool_calls"] = [{"function": said["function_call"]}]
    said.pop("function_call", None)
    content, thoughts = _content(said, role, wrong)
    beside = fields_beside(said, wrong)
    if thoughts:
        beside["thinking"] = thoughts
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
    said = dict(message)
    for ours, others in OTHER_FIELDS.items():
        if said.get(ours) is None and (theirs := next((name for name in others if said.get(name) is not None), None)):
            said[ours] = said.pop(theirs)
    if said.get("content") is None and isinstance(said.get("refusal"), str):
        said["content"] = said.pop("refusal")
    return said


def _role(message: Mapping[str, Any], wrong: Wrong) -> tuple[str, str]:
    """The role as it is written, in small letters, and ours."""
    if "role" not in message:
        raise wrong("has no 'role'.")
    role = message["role"]
    if not isinstance(role, str):
        raise wrong(f": role must be text, not {kind_of(role)}.")
    written = role.strip().lower().replace("-", "_")
    ours = _OTHER_ROLES.get(written, written)
    if ours not in ROLES:
        raise wrong(f"has the unknown role {role!r}. Use one of {', '.join(ROLES)}.")
    return written, ours


def _content(message: Mapping[str, Any], role: str, wrong: Wrong) -> tuple[str, str]:
    """What a message says, and what its parts say that it thinks."""
    content = message.get("content")
    if content is None and (message.get("tool_calls") or (role == "tool" and "content" in message)):
        return "", ""
    if "content" not in message:
        raise wrong("has no 'content'.")
    if role == "tool" and isinstance(content, dict | list) and not _is_in_parts(content):
        return json.dumps(content, ensure_ascii=False), ""
    if isinstance(content, dict) and "text" in content:
        content = [content]
    if isinstance(content, list) and content:
        words = [_text_of_part(part, number, wrong) for number, part in enumerate(content, start=1)]
        said, thought = ("".join(text for text, is_so in words if is_so is wanted) for wanted in (False, True))
        return said, thought
    if not isinstance(content, str):
        raise wrong(f": content must be text, not {kind_of(content)}.")
    return content, ""


def _is_in_parts(content: Any) -> bool:
    parts = content if isinstance(content, list) else [content]
    return bool(parts) and all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in parts)


def _text_of_part(part: Any, number: int, wrong: Wrong) -> tuple[str, bool]:
    """What a part says, and whether it is thought."""
    if isinstance(part, str):
        return part, False
    kind = part.get("type") if isinstance(part, dict) else ""
    if kind in _TEXT_PARTS and isinstance(part.get("text"), str):
        return part["text"], False
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return part["refusal"], False
    if kind in _THINKING_PARTS:
        thought = part.get("thinking", part.get("text"))
        pieces = thought if isinstance(thought, list) else [thought]
        return "".join(_text_of_part(piece, number, wrong)[0] for piece in pieces), True
    what = f"of type {kind!r}" if kind and isinstance(kind, str) else kind_of(part)
    way_out = _WAYS_OUT.get(str(kind), 'Keep parts such as {"type": "text", "text": "…"}, or remove the row.')
    raise wrong(f"has in its content part {number}, {what}: models are trained on text here. {way_out}")


def _calls_in(words: Any, wrong: Wrong) -> list[Any]:
    """ShareGPT writes a call, or a list of calls, as JSON in a text."""
    calls = in_json(words) if isinstance(words, str) else words
    if isinstance(calls, dict):
        return [calls]
    if not isinstance(calls, list) or not calls:
        raise wrong('must hold a call as JSON: {"name": "…", "arguments": {…}}.')
    return calls
