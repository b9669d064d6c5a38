"""Columns that people call otherwise: what can be told is read, and what cannot is refused with the way out."""

from collections.abc import Iterable, Mapping
from typing import Any

from adapters.datasets.message_fields import is_message

_ASK = ("prompt", "question", "query", "problem", "instruction", "input", "user", "human", "request")
_SAY = ("completion", "response", "output", "reply", "solution", "target", "assistant", "gpt")
_CHECKED = ("answer", "final_answer", "expected_answer", "ground_truth")
_WANTED = ("chosen", "chosen_response", "response_chosen", "chosen_messages", "preferred", "accepted")
_UNWANTED = (
    "rejected",
    "rejected_response",
    "response_rejected",
    "rejected_messages",
    "dispreferred",
    "non_preferred",
)
CONVERSATION = ("messages", "conversations")
_BESIDE = {
    "system": ("system_prompt", "system_message", "system_instruction", "systeminstruction"),
    "tools": ("functions",),
    "label": ("kto_tag",),
}
"""What may stand beside any shape, by its name of ours: OpenAI's older files and LLaMA-Factory call it otherwise."""


def usual_names(row: Mapping[str, Any]) -> dict[str, str]:
    """The row's column for each name of ours, where there is only one way to read it; else nothing."""
    asking, saying, checked = (_found(row, names) for names in (_ASK, _SAY, _CHECKED))
    wanted, unwanted = _found(row, _WANTED), _found(row, _UNWANTED)
    if unwanted and not wanted and (wanted := _found(row, CONVERSATION)):
        asking = []  # the wanted answer ends the conversation
    if wanted or unwanted:
        one_pair = len(wanted) == len(unwanted) == 1 and len(asking) <= 1
        prompt = {_asks(asking[0]): asking[0]} if asking else {}
        return {**prompt, "chosen": wanted[0], "rejected": unwanted[0]} if one_pair else {}
    if asking == ["instruction", "input"]:
        asking, about = ["instruction"], {"input": "input"}
    else:
        about = {"input": context[0]} if (context := _found(row, ("context",))) else {}
    if len(asking) != 1:
        return {}
    if len(saying) == 1:
        if about:
            return {"instruction": asking[0], **about, "output": saying[0]}
        return {_asks(asking[0]): asking[0], "completion": saying[0]}
    if not saying and not about and len(checked) == 1:
        return {_asks(asking[0]): asking[0], "answer": checked[0]}
    return {}


def names_beside(row: Mapping[str, Any]) -> dict[str, str]:
    """The row's column for each name of ours that may stand beside any shape, and that it does not have itself."""
    found = {ours: _found(row, names) for ours, names in _BESIDE.items() if row.get(ours) is None}
    return {ours: theirs[0] for ours, theirs in found.items() if theirs and _can_be(ours, row[theirs[0]])}


def _can_be(ours: str, value: Any) -> bool:
    return isinstance(value, str if ours == "system" else bool) or ours == "tools"


def turn_in(value: Any) -> list[dict[str, Any]]:
    """Two messages, where a value is a question and its answer: a list of both, or an object by usual names."""
    said = value
    if isinstance(value, dict) and not is_message(value):
        said = [value[column] for column in usual_names(value).values()]
    match said:
        case [str(asked), str(answer)] if asked.strip() and answer.strip():
            return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        case _:
            return []


def way_out(row: Mapping[str, Any]) -> dict[str, str]:
    """What somebody could give as the columns of such a row: the likeliest ones; nothing where none can be told."""
    asking, saying = _found(row, _ASK), _found(row, (*_SAY, *_CHECKED))
    wanted, unwanted = _found(row, _WANTED), _found(row, _UNWANTED)
    if wanted and unwanted:
        return {"chosen": wanted[0], "rejected": unwanted[0]} | ({"prompt": asking[0]} if asking else {})
    asking = [column for column in asking if column not in saying]
    if asking and saying:
        return {_asks(asking[0]): asking[0], "completion": saying[0]}
    if lists := [column for column, value in row.items() if _holds_messages(value)]:
        return {"messages": lists[0]}
    texts = [column for column, value in row.items() if isinstance(value, str) and value.strip() and "," not in column]
    asked = (asking or texts)[:1]
    others = [column for column in texts if column not in asked]
    if not asked or len(others) > 1 or any(isinstance(value, list | dict) for value in row.values()):
        return {}
    if others:
        return {"question": asked[0], "completion": others[0]}
    return {"prompt" if asking else "text": asked[0]}


def told_as_columns(columns: Mapping[str, str]) -> str:
    """The columns as people give them: `prompt=question, completion=reply`."""
    return ", ".join(f"{ours}={theirs}" for ours, theirs in columns.items())


def _asks(column: str) -> str:
    """A prompt is taken as it is; what is called otherwise is somebody's words in a conversation."""
    return "prompt" if column.strip().lower() == "prompt" else "question"


def _found(row: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Those of the names that are columns with a value, in whatever case."""
    there = {column.strip().lower(): column for column, value in row.items() if value is not None}
    return [there[name] for name in names if name in there]


def _holds_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(is_message(part) or bool(turn_in(part)) for part in value)
