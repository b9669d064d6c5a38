"""A row as the model will see it, and what of the rows it will not see."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from adapters.chat_templates import (
    REASONING,
    Message,
    holds,
    template_for_training,
    template_of,
    thoughts_of,
    without_thoughts,
    write,
)
from adapters.control_tokens import control_tokens
from adapters.preflight.shapes import columns_of
from adapters.preflight.tokens import encoded, examined
from adapters.shared.conversations import Encoded, prompt_of
from domain.runs.run_plan import Piece, Shape, ShownRow
from domain.training import Row

# What is read of a row beside the columns of its shape: tools are written, an answer is what is checked.
_READ = {"tools", "answer"}
_FIELDS_READ = {"role", "content", "tool_calls", "tool_call_id", "weight", "id", *REASONING}


def shown(tokenizer: Any, row: Row, shape: Shape, *, asks_only: bool, limit: int | None) -> tuple[ShownRow, ...]:
    """The first row, with what is learned of it: of a pair both sides, of a prompt that is asked nothing.

    What is cut off beyond `limit` tokens is not there.
    """
    kept = None if asks_only else limit
    return tuple(
        ShownRow(f"row 1, {side}" if side else "row 1", _pieces(tokenizer, whole.cut_to(kept) if kept else whole))
        for side, whole in encoded(tokenizer, row, shape, asks_only=asks_only).items()
    )


def unused(tokenizer: Any, rows: Sequence[Row], shape: Shape, *, asks_only: bool) -> Iterator[str]:
    """Sentences for people about what the rows have and the model does not see."""
    read = _READ | columns_of(shape)
    if others := [repr(name) for name in dict.fromkeys(name for row in rows for name in row) if name not in read]:
        yield f"The model does not see the rows' {'column' if len(others) == 1 else 'columns'} {', '.join(others)}."
    seen = 0
    left_out: dict[str, list[int]] = {}
    for number, row in examined(rows):
        seen += 1
        for what in dict.fromkeys(_unwritten(tokenizer, row, shape, asks_only=asks_only)):
            left_out.setdefault(what, []).append(number)
    for what, numbers in left_out.items():
        many = f"{len(numbers):,} rows, the first of them {numbers[0]:,}"
        where = many if len(numbers) > 1 else f"row {numbers[0]:,}"
        among = "" if seen == len(rows) else f" (of {seen:,} that were looked at)"
        yield f"The base model's chat template leaves out {what}: in {where}{among}. The model does not see that."


def control_tokens_said(tokenizer: Any, rows: Sequence[Row], shape: Shape) -> Iterator[str]:
    """Sentences for people about control tokens in what they wrote: in conversations they are text, in texts marks."""
    controls = control_tokens(tokenizer)
    found: dict[tuple[str, bool], int] = {}
    for number, row in examined(rows):
        for value in (row[column] for column in row if column in columns_of(shape)):
            for token in controls.in_words(value):
                found.setdefault((token, isinstance(value, str)), number)
    for (token, is_mark), number in found.items():
        read = "read as this base model's own mark" if is_mark else "read as text, not as this base model's own mark"
        yield f"Row {number:,} says {token}, which is {read}."


def _pieces(tokenizer: Any, whole: Encoded) -> tuple[Piece, ...]:
    runs = groupby(zip(whole.ids, whole.learned, strict=True), key=lambda token: token[1])
    return tuple(
        Piece(tokenizer.decode([token for token, _ in run], clean_up_tokenization_spaces=False), learned)
        for learned, run in runs
    )


def _unwritten(tokenizer: Any, row: Row, shape: Shape, *, asks_only: bool) -> Iterator[str]:
    messages, tools = _messages(row, shape, asks_only=asks_only), row.get("tools")
    if not messages:
        if tools:
            yield "the tools of rows whose prompt is a text"
        return
    template = template_of(tokenizer, tools) if asks_only else template_for_training(tokenizer, tools)
    text = write(tokenizer, template, messages, tools, ask=asks_only).text
    for message in messages:
        role = message["role"]
        if not all(holds(text, thought) for thought in thoughts_of(message)):
            yield "what answers think before they speak"
        if not holds(text, without_thoughts(message)):
            yield f"what the {role} says"
        for name in message:
            if name in _FIELDS_READ or (name == "name" and role == "tool"):
                continue
            without = {field: part for field, part in message.items() if field != name}
            others = [without if other is message else other for other in messages]
            if write(tokenizer, template, others, tools, ask=asks_only).text == text:
                yield f"the field {name!r} of messages"
    if not all(str(tool.get("function", tool).get("name")) in text for tool in tools or ()):
        yield "the tools"


def _messages(row: Row, shape: Shape, *, asks_only: bool) -> Sequence[Message]:
    """The row's conversation; none where it has texts only."""
    if "messages" in row and not asks_only:
        return list(row["messages"])
    prompt = [] if shape is Shape.TEXTS else prompt_of(row)
    if isinstance(prompt, str):
        return []
    answer = () if asks_only else row.get("chosen" if shape is Shape.PREFERENCES else "completion") or ()
    return [*prompt, *answer]
