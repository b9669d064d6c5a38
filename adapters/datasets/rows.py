"""Rows in the usual shapes become the few shapes that trainers take, and wrong ones are refused with their place."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from adapters.datasets.message_fields import fields_beside, in_json, tools_in
from adapters.datasets.reading import RawRow
from domain.answers import is_nothing_but, marked_answer
from domain.errors import InvalidDataset

ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class Located:
    """A row in a shape that trainers take, and where it came from."""

    place: str
    fields: dict[str, Any]
    unread: tuple[str, ...] = ()
    """The columns that the row had and that its shape has no place for."""


class _Shape(NamedTuple):
    """A usual shape: the columns that tell it, and how its rows are written in ours."""

    columns: tuple[str, ...]
    convert: Callable[["_Row"], dict[str, Any]]


class _Row:
    """One raw row while it is checked: every complaint names the file, the row and the column."""

    def __init__(self, raw: RawRow) -> None:
        self.raw = raw
        self.read: set[str] = set()

    def wrong(self, column: str, what: str) -> InvalidDataset:
        return InvalidDataset(f"{self.raw.place}, column {column!r}: {what}")

    def text(self, column: str, *, may_be_empty: bool = False) -> str:
        value = self._value(column)
        if not isinstance(value, str):
            raise self.wrong(column, f"must be text, not {_kind(value)}. Put quotes around it.")
        if not may_be_empty and not value.strip():
            raise self.wrong(column, "is empty. Fill it in or remove the row.")
        return value

    def _value(self, column: str) -> Any:
        self.read.add(column)
        return self.raw.fields[column]

    def messages(self, column: str) -> list[dict[str, Any]]:
        value = self._value(column)
        if not isinstance(value, list):
            raise self.wrong(column, f"must be a list of messages, not {_kind(value)}.")
        if not value:
            raise self.wrong(column, "has no message. Fill it in or remove the row.")
        return [self._message(column, number, message) for number, message in enumerate(value, start=1)]

    def _message(self, column: str, number: int, message: Any) -> dict[str, Any]:
        if not isinstance(message, dict):
            raise self.wrong(column, f"message {number} must be an object with role and content, not {_kind(message)}.")
        if {"from", "value"} <= message.keys():
            speaker = message["from"]
            role = _SHAREGPT_ROLES.get(speaker, speaker) if isinstance(speaker, str) else speaker
            message = {**message, "role": role, "content": message["value"]}
        for part in ("role", "content"):
            if part not in message:
                raise self.wrong(column, f"message {number} has no {part!r}.")
            if not isinstance(message[part], str):
                raise self.wrong(column, f"message {number}: {part} must be text, not {_kind(message[part])}.")
        if message["role"] not in ROLES:
            raise self.wrong(
                column, f"message {number} has the unknown role {message['role']!r}. Use one of {', '.join(ROLES)}."
            )
        beside = fields_beside(message, lambda what: self.wrong(column, f"message {number} {what}"))
        if message["role"] == "assistant" and not message["content"].strip() and "tool_calls" not in beside:
            raise self.wrong(column, f"message {number}: the assistant says nothing. Fill it in or remove the row.")
        return {"role": message["role"], "content": message["content"], **beside}

    def said(self, column: str, *, by: str) -> str | list[dict[str, Any]]:
        """Text, or messages; an assistant's part ends with the assistant, a prompt with somebody else."""
        if isinstance(self.raw.fields[column], str):
            return self.text(column)
        if not isinstance(self.raw.fields[column], list):
            raise self.wrong(column, f"must be text or a list of messages, not {_kind(self.raw.fields[column])}.")
        messages = self.messages(column)
        last = messages[-1]["role"]
        if by == "assistant" and last != "assistant":
            raise self.wrong(column, f"must end with the assistant's words, not with the role {last!r}.")
        if by == "user" and last == "assistant":
            raise self.wrong(column, "must not end with the assistant's words: they belong into the completion.")
        return messages

    def answer(self, column: str) -> str:
        value = self._value(column)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.wrong(column, f"must be text or a number, not {_kind(value)}.")
        if isinstance(value, str) and not value.strip():
            raise self.wrong(column, "is empty. Fill it in or remove the row.")
        return str(value)

    def label(self, column: str) -> bool:
        value = self._value(column)
        if not isinstance(value, bool):
            raise self.wrong(column, f"must be true (wanted) or false (unwanted), not {_kind(value)}.")
        return value

    def rest(self, *used: str) -> dict[str, Any]:
        """The other columns: rewards may need them. Tools are for the chat template."""
        self.read |= {*used, "tools"}
        others = {name: value for name, value in self.raw.fields.items() if name not in used}
        if tools := others.pop("tools", None):
            others["tools"] = tools_in(tools, lambda what: self.wrong("tools", what))
        return others

    def unread(self, fields: Collection[str]) -> tuple[str, ...]:
        """The columns that were not read, and are not among those that the row has now."""
        return tuple(name for name in self.raw.fields if name not in self.read and name not in fields)


def normalised(raw_rows: Sequence[RawRow], *, meant: Collection[str] = ()) -> list[Located]:
    """The rows in our shapes. All rows of a file have the shape of its first. Raises `InvalidDataset`.

    `meant` are columns that somebody named, so that a shape with them is what is wanted.
    """
    shape = _shape_of(raw_rows[0], meant)
    rows = []
    for raw in raw_rows:
        missing = [column for column in shape.columns if column not in raw.fields]
        if missing:
            raise InvalidDataset(
                f"{raw.place}: the column {missing[0]!r} is missing, which the first row has "
                f"(it has {', '.join(raw.fields) or 'none'})."
            )
        row = _Row(raw)
        fields = shape.convert(row)
        rows.append(Located(raw.place, fields, row.unread(fields)))
    return _all_with_demonstrations(rows)


def _all_with_demonstrations(rows: list[Located]) -> list[Located]:
    """Where some answers are whole solutions, those that are nothing but an answer are demonstrations of it."""
    if len({"completion" in row.fields for row in rows}) < 2:
        return rows
    for row in rows:
        if "completion" not in row.fields:
            prompt, answer = row.fields["prompt"], row.fields["answer"]
            row.fields["completion"] = answer if isinstance(prompt, str) else _as_messages(answer)
    return rows


def _shape_of(first: RawRow, meant: Collection[str]) -> _Shape:
    possible = [shape for shape in _SHAPES if all(column in first.fields for column in shape.columns)]
    if possible:
        return max(possible, key=lambda shape: len(set(meant) & set(shape.columns)))
    has = ", ".join(first.fields) or "none"
    raise InvalidDataset(
        f"{first.place}: the columns ({has}) are none of the usual shapes. Use messages; prompt and completion; text; "
        "instruction and output (with input); question and answer; prompt and answer; prompt, chosen and rejected; or "
        "prompt, completion and label."
    )


def _from_messages(row: _Row, column: str = "messages") -> dict[str, Any]:
    messages = row.messages(column)
    if messages[-1]["role"] != "assistant":
        raise row.wrong(column, "must end with the assistant's words: they are what is learned.")
    rest = row.rest(column, "messages")
    if rest.get("system"):
        if messages[0]["role"] == "system":
            raise row.wrong("system", "stands beside a first message that is the system's too. Keep one of them.")
        messages.insert(0, {"role": "system", "content": row.text("system")})
        del rest["system"]
    if not any(message["role"] == "assistant" and message.get("weight") != 0 for message in messages):
        raise row.wrong(column, "has no answer that is learned: all have weight 0. Remove the row.")
    return {"messages": messages} | _of_no_other_shape(rest)


def _from_preferences(row: _Row) -> dict[str, Any]:
    chosen, rejected = row.said("chosen", by="assistant"), row.said("rejected", by="assistant")
    if "prompt" in row.raw.fields:
        prompt = row.said("prompt", by="user")
    elif isinstance(chosen, list) and isinstance(rejected, list):
        shared = next(
            (i for i, pair in enumerate(zip(chosen, rejected, strict=False)) if pair[0] != pair[1]),
            min(len(chosen), len(rejected)),
        )
        prompt, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
        if not prompt or not chosen or not rejected:
            raise row.wrong("chosen", "and 'rejected' must begin with the same prompt and then differ.")
    else:
        raise row.wrong("chosen", "and 'rejected' are texts without a 'prompt'. Add the column prompt.")
    must_be_alike = [isinstance(part, str) for part in (prompt, chosen, rejected)]
    if len(set(must_be_alike)) > 1:
        prompt, chosen, rejected = (_as_messages(prompt, "user"), _as_messages(chosen), _as_messages(rejected))
    if chosen == rejected:
        raise row.wrong("rejected", "is the same as 'chosen', so there is nothing to prefer. Remove the row.")
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected} | row.rest("prompt", "chosen", "rejected")


def _from_labelled(row: _Row) -> dict[str, Any]:
    return _from_completion(row) | {"label": row.label("label")}


def _from_completion(row: _Row) -> dict[str, Any]:
    prompt, completion = row.said("prompt", by="user"), row.said("completion", by="assistant")
    if isinstance(prompt, str) != isinstance(completion, str):
        prompt, completion = _as_messages(prompt, "user"), _as_messages(completion)
    return {"prompt": prompt, "completion": completion} | row.rest("prompt", "completion")


def _from_instruction(row: _Row) -> dict[str, Any]:
    instruction = row.text("instruction")
    given = row.text("input", may_be_empty=True) if row.raw.fields.get("input") is not None else ""
    asked = f"{instruction}\n\n{given}" if given.strip() else instruction
    messages = [
        *_history(row),
        {"role": "user", "content": asked},
        {"role": "assistant", "content": row.text("output")},
    ]
    if row.raw.fields.get("system"):
        messages.insert(0, {"role": "system", "content": row.text("system")})
    return {"messages": messages} | _of_no_other_shape(row.rest("instruction", "input", "output", "system", "history"))


def _history(row: _Row) -> list[dict[str, Any]]:
    """Alpaca's earlier turns: a list of what was asked and answered."""
    turns = row.raw.fields.get("history") or []
    if isinstance(turns, str):
        turns = in_json(turns)
    if not isinstance(turns, list):
        raise row.wrong("history", f"must be a list of earlier turns, [[question, answer], …], not {_kind(turns)}.")
    messages = []
    for number, turn in enumerate(turns, start=1):
        if not isinstance(turn, list) or len(turn) != 2 or not all(isinstance(s, str) and s.strip() for s in turn):
            raise row.wrong("history", f"turn {number} must be two texts, a question and its answer.")
        messages += [{"role": "user", "content": turn[0]}, {"role": "assistant", "content": turn[1]}]
    return messages


def _of_no_other_shape(columns: dict[str, Any]) -> dict[str, Any]:
    """Without the columns that would make a conversation a row of another shape, such as the prompt of UltraChat."""
    return {name: value for name, value in columns.items() if name not in _OF_OTHER_SHAPES}


def _from_question(row: _Row) -> dict[str, Any]:
    prompt = [{"role": "user", "content": row.text("question")}]
    return {"prompt": prompt} | _answer_to(prompt, row) | row.rest("question", "answer")


def _from_answer(row: _Row) -> dict[str, Any]:
    prompt = row.said("prompt", by="user")
    return {"prompt": prompt} | _answer_to(prompt, row) | row.rest("prompt", "answer")


def _answer_to(prompt: str | list[dict[str, Any]], row: _Row) -> dict[str, Any]:
    """The answer to check. A whole solution that marks its answer is a demonstration too.

    GSM8K writes the way to the answer and then `#### 72`; MATH has it in `\\boxed{}`.
    """
    answer = row.answer("answer")
    marked = marked_answer(answer)
    if "####" in answer and not marked:
        raise row.wrong("answer", "has #### with no answer after it.")
    if marked is None:
        return {"answer": answer}
    if is_nothing_but(answer, marked):
        return {"answer": marked}
    return {"completion": answer if isinstance(prompt, str) else _as_messages(answer), "answer": marked}


def _from_text(row: _Row) -> dict[str, Any]:
    return {"text": row.text("text")} | row.rest("text")


def _as_messages(said: str | list[dict[str, Any]], role: str = "assistant") -> list[dict[str, Any]]:
    return [{"role": role, "content": said}] if isinstance(said, str) else said


def _kind(value: Any) -> str:
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


_OF_OTHER_SHAPES = {"prompt", "completion", "text", "chosen", "rejected", "label"}

_SHAREGPT_ROLES = {"human": "user", "gpt": "assistant"}

# The first shape whose columns are all there is the one; those that ask for more stand before those that ask for less.
_SHAPES = (
    _Shape(("chosen", "rejected"), _from_preferences),
    _Shape(("prompt", "completion", "label"), _from_labelled),
    _Shape(("messages",), _from_messages),
    _Shape(("conversations",), lambda row: _from_messages(row, "conversations")),
    _Shape(("prompt", "completion"), _from_completion),
    _Shape(("instruction", "output"), _from_instruction),
    _Shape(("prompt", "answer"), _from_answer),
    _Shape(("question", "answer"), _from_question),
    _Shape(("text",), _from_text),
)
