"""Rows in the usual shapes become the few shapes that trainers take, and wrong ones are refused with their place."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from adapters.datasets.files.raw_rows import RawRow
from adapters.datasets.other_names import CONVERSATION, names_beside, told_as_columns, usual_names, way_out
from adapters.datasets.pairs import behind_prompt, from_preferences, from_preferred_outputs, instruction_of
from adapters.datasets.row import Located, Messages, Row, as_messages, is_label
from domain.errors import InvalidDataset
from domain.runs.grading import is_nothing_but, marked_answer

__all__ = [
    "Located",
    "Shape",
    "as_demonstrations",
    "converted",
    "demonstrated",
    "normalised",
    "shape_of",
    "told_by_other_names",
]


class Shape(NamedTuple):
    """A usual shape: the columns that tell it, and how its rows are written in ours."""

    columns: tuple[str, ...]
    convert: Callable[[Row], dict[str, Any]]


def normalised(raw_rows: Sequence[RawRow], *, meant: Collection[str] = ()) -> list[Located]:
    """The rows in our shapes. All rows of a file have the shape of its first. Raises `InvalidDataset`.

    `meant` are columns that somebody named, so that a shape with them is what is wanted.
    """
    rows = list(converted(raw_rows, shape_of(raw_rows[0], meant)))
    return [demonstrated(row) for row in rows] if len({"completion" in row.fields for row in rows}) > 1 else rows


def converted(raw_rows: Iterable[RawRow], shape: Shape) -> Iterator[Located]:
    """The rows as this shape has them, one after the other. Raises `InvalidDataset` for the first that is wrong."""
    first_is_judged: bool | None = None
    for raw in raw_rows:
        missing = [column for column in shape.columns if column not in raw.fields]
        if missing:
            raise InvalidDataset(
                f"{raw.place}: the column {missing[0]!r} is missing, which the first row has "
                f"(it has {', '.join(raw.fields) or 'none'})."
            )
        row = Row(raw)
        fields = shape.convert(row)
        is_judged = isinstance(raw.fields.get("label"), bool)
        first_is_judged = is_judged if first_is_judged is None else first_is_judged
        if "label" not in shape.columns and is_judged and not first_is_judged:
            raise row.wrong("label", "says whether an answer is wanted, and the first row has none. Give one to all.")
        yield Located(raw.place, fields, row.unread(fields), row.is_cut)


def demonstrated(row: Located) -> Located:
    """A row that is nothing but a question and its answer, as a demonstration of it; any other as it is.

    For files in which some answers are whole solutions.
    """
    if "completion" in row.fields:
        return row
    prompt, answer = row.fields["prompt"], row.fields["answer"]
    said = answer if isinstance(prompt, str) else as_messages(answer)
    return Located(row.place, {**row.fields, "completion": said}, row.unread, row.is_cut)


def shape_of(first: RawRow, meant: Collection[str] = ()) -> Shape:
    """The usual shape of a file, told from its first row. Raises `InvalidDataset` naming what would do."""
    if found := _found(first, meant, (*_SHAPES, _ASKED_ONLY)):
        return found
    columns = told_as_columns(way_out(first.fields))
    raise InvalidDataset(
        f"{first.place}: the columns ({', '.join(first.fields) or 'none'}) are none of the usual shapes. Use messages; "
        "prompt and completion; text; instruction and output (with input); question and answer; prompt and answer; "
        "prompt, chosen and rejected; or prompt, completion and label. "
        + (
            f'These would be read with --columns "{columns}".'
            if columns
            else 'Say which column is which, such as --columns "prompt=NAME, completion=NAME".'
        ),
        columns=columns,
    )


def told_by_other_names(first: RawRow, meant: Collection[str] = ()) -> dict[str, str]:
    """The row's column for each name of ours that it does not have, where there is one way to read it."""
    shape, named = _found(first, meant, _SHAPES), usual_names(first.fields)
    if shape is None or _is_pair_by(named, first, meant):
        missing = named
    elif shape.columns[-1] == "answer" and isinstance(first.fields.get("label"), bool):
        missing = {"completion": "answer"}  # one that is judged, and not one to check others by
    else:
        missing = {}
    return missing | names_beside(first.fields) if missing or shape else {}


def _is_pair_by(named: Mapping[str, str], first: RawRow, meant: Collection[str]) -> bool:
    """Whether these names make preferences of a row: its conversation is preferred, or its question is called so."""
    if not {"chosen", "rejected"} <= named.keys():
        return False
    if named["chosen"] in CONVERSATION:
        return named["chosen"] not in meant
    asked = named.get("question")
    return isinstance(first.fields.get("chosen"), str) and asked not in (None, "question", "instruction")


def as_demonstrations(first: RawRow) -> dict[str, str]:
    """The columns with which rows that are something else would be read as demonstrations; nothing where none would."""
    asked = next((column for column in ("prompt", "question") if first.fields.get(column) is not None), None)
    said = next((column for column in ("chosen", "answer") if first.fields.get(column) is not None), None)
    if asked and said:
        return {asked: asked, "completion": said}
    if said == "chosen":
        return {"text" if isinstance(first.fields[said], str) else "messages": said}
    return {}


def _found(first: RawRow, meant: Collection[str], shapes: Sequence[Shape]) -> Shape | None:
    with_values = {column for column, value in first.fields.items() if value is not None}
    for there in (with_values, set(first.fields)):
        possible = [shape for shape in shapes if there.issuperset(shape.columns) and _is_meant(shape, first, meant)]
        if possible:
            return max(possible, key=lambda shape: len(set(meant) & set(shape.columns)))
    return None


def _is_meant(shape: Shape, first: RawRow, meant: Collection[str]) -> bool:
    """Conversations may have a label that is about something else than whether their answer is wanted."""
    if "label" not in shape.columns or shape.columns[0] == "prompt" or "label" in meant:
        return True
    return is_label(first.fields.get("label"))


def _from_messages(row: Row, column: str = "messages") -> dict[str, Any]:
    messages = _conversation(row, column)
    if not any(message["role"] == "assistant" and message.get("weight") != 0 for message in messages):
        raise row.wrong(column, "has no answer that is learned: all have weight 0. Remove the row.")
    return {"messages": messages} | _of_no_other_shape(row.rest(column))


def _conversation(row: Row, column: str) -> Messages:
    """A conversation up to its last answer."""
    messages = row.in_context(row.messages(column))
    last = max((number for number, said in enumerate(messages) if said["role"] == "assistant"), default=-1)
    if last < 0:
        raise row.wrong(
            column,
            "must end with the assistant's words: they are what is learned. Where the model is only asked, name the "
            f'column so: --columns "prompt={column}".',
        )
    row.is_cut = last < len(messages) - 1
    return messages[: last + 1]


def _from_labelled_messages(row: Row, column: str = "messages") -> dict[str, Any]:
    return _labelled(row, _conversation(row, column), column)


def _from_labelled_instruction(row: Row) -> dict[str, Any]:
    return _labelled(row, _instructed(row), "instruction")


def _labelled(row: Row, messages: Messages, column: str) -> dict[str, Any]:
    if len(messages) < 2:
        raise row.wrong(column, "has nothing before the answer that is judged. Remove the row.")
    judged = {"prompt": messages[:-1], "completion": messages[-1:], "label": row.label("label")}
    return judged | _of_no_other_shape(row.rest(column))


def _from_labelled(row: Row) -> dict[str, Any]:
    label = row.label("label")
    return _from_completion(row) | {"label": label}


def _from_completion(row: Row) -> dict[str, Any]:
    prompt, completion = behind_prompt(row, row.asked("prompt"), row.reply("completion"), "completion")
    return {"prompt": prompt, "completion": completion} | row.rest()


def _from_labelled_question(row: Row) -> dict[str, Any]:
    label = row.label("label")
    return _from_question_and_completion(row) | {"label": label}


def _from_question_and_completion(row: Row) -> dict[str, Any]:
    asked = as_messages(row.asked("question"), "user")
    prompt, completion = behind_prompt(row, asked, row.reply("completion"), "completion")
    return {"prompt": prompt, "completion": completion} | row.rest()


def _from_instruction(row: Row) -> dict[str, Any]:
    return {"messages": _instructed(row)} | _of_no_other_shape(row.rest())


def _instructed(row: Row) -> Messages:
    asked = {"role": "user", "content": instruction_of(row)}
    answer = {"role": "assistant", "content": row.answer("output")}
    row.read.add("input")
    return row.in_context([asked, answer])


def _of_no_other_shape(columns: dict[str, Any]) -> dict[str, Any]:
    """Without the columns that would make a conversation a row of another shape, such as the prompt of UltraChat."""
    return {name: value for name, value in columns.items() if name not in _OF_OTHER_SHAPES}


def _from_question(row: Row) -> dict[str, Any]:
    prompt = row.in_context([{"role": "user", "content": row.text("question")}])
    return {"prompt": prompt} | _answer_to(prompt, row) | row.rest()


def _from_answer(row: Row) -> dict[str, Any]:
    prompt = row.asked("prompt")
    return {"prompt": prompt} | _answer_to(prompt, row) | row.rest()


def _answer_to(prompt: str | Messages, row: Row) -> dict[str, Any]:
    """The answer to check. A whole solution that marks its answer, or stands beside it, is a demonstration too.

    GSM8K writes the way to the answer and then `#### 72`; MATH has it in `\\boxed{}`.
    """
    answer = row.answer("answer")
    marked = marked_answer(answer)
    if "####" in answer and not marked:
        raise row.wrong("answer", "has #### with no answer after it.")
    if marked is None or is_nothing_but(answer, marked):
        solution, answer = row.raw.fields.get("solution"), marked or answer
        if not isinstance(solution, str) or not solution.strip():
            return {"answer": answer}
        row.read.add("solution")
    else:
        solution, answer = answer, marked
    return {"completion": solution if isinstance(prompt, str) else as_messages(solution), "answer": answer}


def _from_text(row: Row) -> dict[str, Any]:
    return {"text": row.text("text")} | row.rest()


def _from_prompt(row: Row) -> dict[str, Any]:
    return {"prompt": row.asked("prompt")} | row.rest()


_OF_OTHER_SHAPES = {"prompt", "completion", "text", "chosen", "rejected", "label"}
# The first shape whose columns are all there is the one; those that ask for more stand before those that ask for less.
_SHAPES = (
    Shape(("chosen", "rejected"), from_preferences),
    Shape(("input", "preferred_output", "non_preferred_output"), from_preferred_outputs),
    Shape(("prompt", "completion", "label"), _from_labelled),
    Shape(("question", "completion", "label"), _from_labelled_question),
    Shape(("messages", "label"), _from_labelled_messages),
    Shape(("conversations", "label"), lambda row: _from_labelled_messages(row, "conversations")),
    Shape(("instruction", "output", "label"), _from_labelled_instruction),
    Shape(("messages",), _from_messages),
    Shape(("conversations",), lambda row: _from_messages(row, "conversations")),
    Shape(("prompt", "completion"), _from_completion),
    Shape(("instruction", "output"), _from_instruction),
    Shape(("question", "completion"), _from_question_and_completion),
    Shape(("prompt", "answer"), _from_answer),
    Shape(("question", "answer"), _from_question),
    Shape(("text",), _from_text),
)
_ASKED_ONLY = Shape(("prompt",), _from_prompt)
