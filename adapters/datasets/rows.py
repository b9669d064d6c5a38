"""Rows in the usual shapes become the few shapes that trainers take, and wrong ones are refused with their place."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from adapters.datasets.reading import RawRow
from domain.errors import InvalidDataset
from domain.runs.grading import marked_answer

ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class Located:
    """A row in a shape that trainers take, and where it came from."""

    place: str
    fields: dict[str, Any]


class _Shape(NamedTuple):
    """A usual shape: the columns that tell it, and how its rows are written in ours."""

    columns: tuple[str, ...]
    convert: Callable[["_Row"], dict[str, Any]]


class _Row:
    """One raw row while it is checked: every complaint names the file, the row and the column."""

    def __init__(self, raw: RawRow) -> None:
        self.raw = raw

    def wrong(self, column: str, what: str) -> InvalidDataset:
        return InvalidDataset(f"{self.raw.place}, column {column!r}: {what}")

    def text(self, column: str, *, may_be_empty: bool = False) -> str:
        value = self.raw.fields[column]
        if not isinstance(value, str):
            raise self.wrong(column, f"must be text, not {_kind(value)}. Put quotes around it.")
        if not may_be_empty and not value.strip():
            raise self.wrong(column, "is empty. Fill it in or remove the row.")
        return value

    def messages(self, column: str) -> list[dict[str, str]]:
        value = self.raw.fields[column]
        if not isinstance(value, list):
            raise self.wrong(column, f"must be a list of messages, not {_kind(value)}.")
        if not value:
            raise self.wrong(column, "has no message. Fill it in or remove the row.")
        return [self._message(column, number, message) for number, message in enumerate(value, start=1)]

    def _message(self, column: str, number: int, message: Any) -> dict[str, str]:
        if not isinstance(message, dict):
            raise self.wrong(column, f"message {number} must be an object with role and content, not {_kind(message)}.")
        if {"from", "value"} <= message.keys():
            speaker = message["from"]
            role = _SHAREGPT_ROLES.get(speaker, speaker) if isinstance(speaker, str) else speaker
            message = {"role": role, "content": message["value"]}
        for part in ("role", "content"):
            if part not in message:
                raise self.wrong(column, f"message {number} has no {part!r}.")
            if not isinstance(message[part], str):
                raise self.wrong(column, f"message {number}: {part} must be text, not {_kind(message[part])}.")
        if message["role"] not in ROLES:
            raise self.wrong(
                column, f"message {number} has the unknown role {message['role']!r}. Use one of {', '.join(ROLES)}."
            )
        if message["role"] == "assistant" and not message["content"].strip():
            raise self.wrong(column, f"message {number}: the assistant says nothing. Fill it in or remove the row.")
        return {"role": message["role"], "content": message["content"]}

    def said(self, column: str, *, by: str) -> str | list[dict[str, str]]:
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
        value = self.raw.fields[column]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.wrong(column, f"must be text or a number, not {_kind(value)}.")
        if isinstance(value, str) and not value.strip():
            raise self.wrong(column, "is empty. Fill it in or remove the row.")
        return str(value)

    def label(self, column: str) -> bool:
        value = self.raw.fields[column]
        if not isinstance(value, bool):
            raise self.wrong(column, f"must be true (wanted) or false (unwanted), not {_kind(value)}.")
        return value

    def rest(self, *used: str) -> dict[str, Any]:
        """The other columns: rewards may need them."""
        return {name: value for name, value in self.raw.fields.items() if name not in used}


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
        rows.append(Located(raw.place, shape.convert(_Row(raw))))
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
    return {"messages": messages} | row.rest(column, "messages")


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
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": row.text("output")}]
    if row.raw.fields.get("system"):
        messages.insert(0, {"role": "system", "content": row.text("system")})
    return {"messages": messages}


def _from_question(row: _Row) -> dict[str, Any]:
    """GSM8K writes the way to the answer and then `#### 72`: a demonstration and an answer to check, both."""
    prompt = [{"role": "user", "content": row.text("question")}]
    answer = row.answer("answer")
    if "####" not in answer:
        return {"prompt": prompt, "answer": answer} | row.rest("question", "answer")
    final = marked_answer(answer)
    if not final:
        raise row.wrong("answer", "has #### with no answer after it.")
    completion = [{"role": "assistant", "content": answer}]
    return {"prompt": prompt, "completion": completion, "answer": final} | row.rest("question", "answer")


def _from_answer(row: _Row) -> dict[str, Any]:
    return {"prompt": row.said("prompt", by="user"), "answer": row.answer("answer")} | row.rest("prompt", "answer")


def _from_text(row: _Row) -> dict[str, Any]:
    return {"text": row.text("text")} | row.rest("text")


def _as_messages(said: str | list[dict[str, str]], role: str = "assistant") -> list[dict[str, str]]:
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
