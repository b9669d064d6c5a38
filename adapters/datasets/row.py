"""One raw row while it is checked: every complaint names the file, the row and the column."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.datasets.files.raw_rows import RawRow
from adapters.datasets.message_fields import in_json, is_message, tools_in
from adapters.datasets.messages import kind_of, message_of
from adapters.datasets.other_names import turn_in
from domain.errors import InvalidDataset

Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class Located:
    """A row in a shape that trainers take, and where it came from."""

    place: str
    fields: dict[str, Any]
    unread: tuple[str, ...] = ()
    """The columns that the row had and that its shape has no place for."""
    is_cut: bool = False
    """Whether what was said after the last answer is left out."""


class Row:
    """A raw row, the columns that were read of it, and whether something was cut off."""

    def __init__(self, raw: RawRow) -> None:
        self.raw = raw
        self.read: set[str] = set()
        self.is_cut = False

    def wrong(self, column: str, what: str) -> InvalidDataset:
        return InvalidDataset(f"{self.raw.place}, column {column!r}: {what}")

    def has(self, column: str) -> bool:
        return self.raw.fields.get(column) is not None

    def text(self, column: str, *, may_be_empty: bool = False) -> str:
        value = self._value(column)
        if not isinstance(value, str):
            raise self.wrong(column, f"must be text, not {kind_of(value)}. Put quotes around it.")
        if not may_be_empty and not value.strip():
            raise self.wrong(column, "is empty. Fill it in or remove the row.")
        return value

    def messages(self, column: str) -> Messages:
        value = self._value(column)
        if not isinstance(value, list):
            raise self.wrong(
                column, f'must be a list of messages, not {kind_of(value)}: [{{"role": "user", "content": "…"}}, …].'
            )
        if not value:
            raise self.wrong(column, "has no message. Fill it in or remove the row.")
        said = [message for part in value for message in turn_in(part) or [part]]
        return [self._message(column, number, message) for number, message in enumerate(said, start=1)]

    def said(self, column: str, *, by: str) -> str | Messages:
        """Text, or messages; an assistant's part ends with the assistant, a prompt with somebody else."""
        if isinstance(self.raw.fields[column], str):
            return self.text(column)
        if isinstance(self.raw.fields[column], dict):
            messages = [self._message(column, 1, self._value(column))]
        elif isinstance(self.raw.fields[column], list):
            messages = self.messages(column)
        else:
            found = kind_of(self.raw.fields[column])
            raise self.wrong(column, f"must be text or a list of messages, not {found}.")
        last = messages[-1]["role"]
        if by == "assistant" and last != "assistant":
            raise self.wrong(column, f"must end with the assistant's words, not with the role {last!r}.")
        if by == "user" and last == "assistant":
            raise self.wrong(column, "must not end with the assistant's words: they belong into the completion.")
        return messages

    def asked(self, column: str) -> str | Messages:
        """What a column asks, behind the row's `system` and `history`, if it has them."""
        prompt = self.said(column, by="user")
        return self.in_context(as_messages(prompt, "user")) if self._has_context() else prompt

    def reply(self, column: str) -> str | Messages:
        """What the assistant says in a column: text, a number as text, or messages."""
        value = self.raw.fields[column]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return self.answer(column) if is_number else self.said(column, by="assistant")

    def in_context(self, messages: Messages) -> Messages:
        """The messages behind the words of the row's `system` and the turns of its `history`, where it has them."""
        messages = [*self._history(), *messages]
        self.read.add("system")
        if not self.raw.fields.get("system"):
            return messages
        if messages and messages[0]["role"] == "system":
            raise self.wrong("system", "stands beside a first message that is the system's too. Keep one of them.")
        return [{"role": "system", "content": self.text("system")}, *messages]

    def answer(self, column: str) -> str:
        """Text, or a number as text."""
        value = self._value(column)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.wrong(column, f"must be text or a number, not {kind_of(value)}.")
        if isinstance(value, str) and not value.strip():
            raise self.wrong(column, "is empty. Fill it in or remove the row.")
        return str(value)

    def label(self, column: str) -> bool:
        """Whether an answer is wanted: true or false, or 1 or 0."""
        value = self._value(column)
        if not is_label(value):
            raise self.wrong(
                column,
                f"must be true or 1 (wanted), or false or 0 (unwanted), not {kind_of(value)}. If it marks no answer, "
                "give the column another name.",
            )
        return bool(value)

    def rest(self, *used: str) -> dict[str, Any]:
        """The columns that were not read and have a value: rewards may need them. Tools are for the chat template."""
        self.read |= {*used, "tools"}
        others = {name: value for name, value in self.raw.fields.items() if name not in self.read and value is not None}
        tools = self.raw.fields.get("tools")
        if tools and (read := tools_in(tools, lambda what: self.wrong("tools", what))):
            others["tools"] = read
        return others

    def unread(self, fields: Collection[str]) -> tuple[str, ...]:
        """The columns that were not read, and are not among those that the row has now."""
        return tuple(
            name for name in self.raw.fields if self.has(name) and name not in self.read and name not in fields
        )

    def _has_context(self) -> bool:
        return bool(self.raw.fields.get("system") or self._turns())

    def _turns(self) -> Any:
        """Alpaca's earlier turns, which some files hold as JSON in a text; any other text is no history."""
        turns = self.raw.fields.get("history")
        return in_json(turns) if isinstance(turns, str) else turns

    def _history(self) -> Messages:
        turns = self._turns()
        if turns or not self.raw.fields.get("history"):
            self.read.add("history")
        if not turns:
            return []
        if not isinstance(turns, list):
            found = kind_of(turns)
            raise self.wrong("history", f"must be a list of earlier turns, [[question, answer], …], not {found}.")
        messages: Messages = []
        for number, turn in enumerate(turns, start=1):
            if is_message(turn):
                messages.append(self._message("history", number, turn))
            elif pair := turn_in(turn):
                messages += pair
            else:
                raise self.wrong("history", f"turn {number} must be two texts, a question and its answer.")
        return messages

    def _value(self, column: str) -> Any:
        self.read.add(column)
        return self.raw.fields[column]

    def _message(self, column: str, number: int, message: Any) -> dict[str, Any]:
        def wrong(what: str) -> InvalidDataset:
            return self.wrong(column, f"message {number}{'' if what.startswith(':') else ' '}{what}")

        return message_of(message, wrong)


def is_label(value: Any) -> bool:
    """Whether a value says that an answer is wanted or unwanted."""
    return isinstance(value, bool | int | float) and value in (0, 1)


def as_messages(said: str | Messages, role: str = "assistant") -> Messages:
    """Text as the only message, of this role; messages as they are."""
    return [{"role": role, "content": said}] if isinstance(said, str) else said


def begins_with(messages: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> bool:
    """Whether messages begin with what the others say, white space around it aside."""
    return len(messages) > len(others) and all(_same(one, other) for one, other in zip(messages, others, strict=False))


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return {**one, "content": one["content"].strip()} == {**other, "content": other["content"].strip()}
