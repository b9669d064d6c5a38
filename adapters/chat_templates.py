"""Chat templates as trainings need them: which one a row is written with, and what it says of each message.

A template is written for asking, and then may leave out what earlier answers thought. TRL ships, for many families, the
template that their models come with and beside it a twin for training, which writes every answer in full and marks it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from domain.errors import InvalidInput

Message = Mapping[str, Any]
Span = tuple[int, int]

# Of Unicode's private use: nobody's text has it, and no template changes it.
_FOREIGN = "\ue0f0\ue0f1"
REASONING = ("reasoning_content", "thinking", "reasoning")
"""The fields in which rows have an answer's thoughts; transformers gives a template each under all these names."""

_TAGS = re.compile(r"</?think>")
_THOUGHT = re.compile(r"<think>((?:(?!<think>).)*?)</think>", re.DOTALL)
_MARKS = re.compile(r"\{%-?\s*generation\s*-?%\}")


@dataclass(frozen=True)
class Written:
    """A conversation as text; `answers` are the places, as begin and end in characters, that the template marks."""

    text: str
    answers: tuple[Span, ...] = ()


def template_of(tokenizer: Any, tools: Sequence[Any] | None = None) -> str:
    """The template that a model is asked with; some tokenizers have another one for conversations with tools."""
    return str(tokenizer.get_chat_template(None, list(tools) if tools else None))


def template_for_training(tokenizer: Any, tools: Sequence[Any] | None = None) -> str:
    """TRL's twin of the tokenizer's template where there is one, else the template itself."""
    template = template_of(tokenizer, tools)
    return _twins().get(template, template)


def marks_answers(template: str) -> bool:
    """Whether a template says itself what the assistant says."""
    return _MARKS.search(template) is not None


def write(
    tokenizer: Any,
    template: str,
    messages: Sequence[Message],
    tools: Sequence[Any] | None = None,
    *,
    ask: bool = False,
) -> Written:
    """The conversation as the template writes it; with `ask` the assistant's turn begins at its end.

    Raises what the template raises for roles and orders that it does not know.
    """
    said = _in_parts(messages) if _wants_parts(template) else messages
    try:
        return _write(tokenizer, template, said, tools, ask=ask)
    except TypeError:
        # Most templates take the arguments of a call as an object, and some only as text.
        if not any(message.get("tool_calls") for message in messages):
            raise
        return _write(tokenizer, template, [_with_arguments_as_text(message) for message in said], tools, ask=ask)


def _write(tokenizer: Any, template: str, messages: Sequence[Message], tools: Any, *, ask: bool) -> Written:
    from transformers.utils.chat_template_utils import render_jinja_template

    marked = marks_answers(template)
    (text,), places = render_jinja_template(
        conversations=[[{name: part for name, part in said.items() if part is not None} for said in messages]],
        tools=list(tools) if tools else None,
        chat_template=template,
        add_generation_prompt=ask,
        return_assistant_tokens_mask=marked,
        **tokenizer.special_tokens_map,
    )
    return Written(text, tuple(places[0]) if marked else ())


def answers_in(
    tokenizer: Any, template: str, messages: Sequence[Message], tools: Sequence[Any] | None, whole: Written
) -> dict[int, list[Span]]:
    """Where the whole conversation has each of the assistant's messages, by its number, with the mark that ends it.

    A message that cannot be found has no place.
    """

    def written(some: Sequence[Message], *, ask: bool = False) -> str:
        return write(tokenizer, template, some, tools, ask=ask).text

    said = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
    if not marks_answers(template):
        return {number: _found(written, messages, number) for number in said}
    if len(whole.answers) == len(said):
        return {number: [place] for number, place in zip(said, whole.answers, strict=True)}
    # Some mark an answer in pieces. A piece is of the last message that begins before the piece's end.
    begins = {number: _changed(written, messages, number)[0] for number in said}
    places: dict[int, list[Span]] = {number: [] for number in said}
    for place in whole.answers:
        if owners := [number for number in said if begins[number] < place[1]]:
            places[owners[-1]].append(place)
    return places


def left_out(text: str, message: Message) -> str | None:
    """What of a message a text does not hold: its words, or a call of a tool; None where all is there."""
    if not _says(text, message):
        return "the words"
    for call in message.get("tool_calls") or ():
        function = call.get("function", call)
        given = function.get("arguments")
        names = [function.get("name", ""), *(given if isinstance(given, Mapping) else ())]
        if not all(str(name) in text for name in names):
            return f"the call of the tool {function.get('name')}"
    return None


def ends_unmarked(text: str, message: Message) -> bool:
    """Whether a text ends with the words of its last message, and so with no mark that says where to stop."""
    words = _squeezed("".join(_texts(message.get("content"))))
    return bool(words) and not message.get("tool_calls") and _squeezed(text).endswith(words)


def thoughts_of(message: Message) -> list[str]:
    """What an answer thinks before it speaks, in a field of its own or in tags."""
    fields = [message[name] for name in REASONING if isinstance(message.get(name), str)]
    return [thought for thought in fields or _THOUGHT.findall(str(message.get("content") or "")) if thought.strip()]


def without_thoughts(message: Message) -> str:
    """A message's words as one text, without what it thinks in tags."""
    return "\n".join(_TAGS.sub("", _THOUGHT.sub("", words)) for words in _texts(message.get("content")))


def holds(text: str, part: str) -> bool:
    """Whether a text has a part, white space aside."""
    return _squeezed(part) in _squeezed(text)


def _found(written: Any, messages: Sequence[Message], index: int) -> list[Span]:
    whole, so_far = written(messages), messages[: index + 1]
    if index and whole.startswith(asked := written(messages[:index], ask=True)):
        begin, end = len(asked), _in_common(whole, written(so_far))
        if left_out(whole[begin:end], messages[index]) is None:
            return [(begin, end)]
    begin, end = _by_changing(written, messages, index)
    for other, message in enumerate(messages):
        if message["role"] != "assistant" and begin < _changed(written, messages, other)[1] <= end:
            raise InvalidInput(f"it writes message {other + 1} in the middle of message {index + 1}")
    return [(begin, end)] if begin < end else []


def _by_changing(written: Any, messages: Sequence[Message], index: int) -> Span:
    """Where a message is written: there, where the text differs when another one stands in its place.

    For templates that write earlier answers in another way than the last one. What it begins with is what asks for an
    answer, as far as it stands before this one too; it ends with what would end it if nothing came after.
    """
    message, before = messages[index], messages[:index]
    whole = written(messages)
    begin, end = _changed(written, messages, index)
    if begin >= end:
        return 0, 0
    last = written([*before, message])
    closing = last[_changed(written, [*before, message], index)[1] :]
    end += _in_common(whole[end:], closing)
    if not before:
        return begin, end
    asking = written(before, ask=True).removeprefix(written(before))
    at = whole.rfind(asking, _changed(written, messages, index - 1)[1], begin) if asking else -1
    return (at + len(asking) if at >= 0 else begin), end


def _changed(written: Any, messages: Sequence[Message], index: int) -> Span:
    """Where the text is another one when this message has foreign words."""
    other = [*messages[:index], _other(messages[index]), *messages[index + 1 :]]
    return _change(written(messages), written(other))


def _change(one: str, other: str) -> Span:
    """Where one text differs from another, in the one."""
    begin = _in_common(one, other)
    behind = _in_common(one[begin:][::-1], other[begin:][::-1])
    return begin, len(one) - behind


def _other(message: Message) -> Message:
    """The message with foreign words in place of its own."""

    def changed(value: Any) -> Any:
        match value:
            case str():
                return _FOREIGN
            case list():
                return [changed(part) for part in value]
            case Mapping():
                return {name: part if name in ("type", "id") else changed(part) for name, part in value.items()}
            case _:
                return value

    kept = ("role", "tool_call_id", "weight")
    return {name: value if name in kept else changed(value) for name, value in message.items()}


def _says(text: str, message: Message) -> bool:
    parts = [part for words in _texts(message.get("content")) for part in _TAGS.split(_THOUGHT.sub("", words))]
    return all(holds(text, part) for part in parts)


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [str(part.get("text", "")) for part in content or () if isinstance(part, Mapping)]


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _in_parts(messages: Sequence[Message]) -> list[Message]:
    return [
        {**message, "content": [{"type": "text", "text": message["content"]}]}
        if isinstance(message.get("content"), str)
        else message
        for message in messages
    ]


def _with_arguments_as_text(message: Message) -> Message:
    def called(call: Mapping[str, Any]) -> dict[str, Any]:
        function = call.get("function", {})
        given = function.get("arguments")
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        return {**call, "function": {**function, "arguments": text}}

    if not message.get("tool_calls"):
        return message
    return {**message, "tool_calls": [called(call) for call in message["tool_calls"]]}


@lru_cache
def _wants_parts(template: str) -> bool:
    """Whether it writes content in parts only, as templates of models that see do, and nothing of a plain text."""
    from transformers.utils.chat_template_utils import render_jinja_template

    def writes(message: Message) -> bool:
        try:
            (text,), _ = render_jinja_template(conversations=[[message]], chat_template=template, bos_token="")
        except Exception:  # templates raise what they like
            return False
        return _FOREIGN in text

    plain = {"role": "user", "content": _FOREIGN}
    return not writes(plain) and writes(_in_parts([plain])[0])


@lru_cache
def _twins() -> dict[str, str]:
    """TRL's templates for training, by those that they stand for. Read as files: importing trl takes seconds."""
    found = find_spec("trl")
    if found is None or found.origin is None:
        return {}
    folder = Path(found.origin).parent / "chat_templates"
    return {
        original.read_text(encoding="utf-8"): twin.read_text(encoding="utf-8")
        for twin in sorted(folder.glob("*_training.jinja"))
        if (original := twin.with_name(twin.name.replace("_training", ""))).is_file()
    }


def _in_common(one: str, other: str) -> int:
    shorter = min(len(one), len(other))
    if one[:shorter] == other[:shorter]:
        return shorter
    return next(i for i in range(shorter) if one[i] != other[i])
