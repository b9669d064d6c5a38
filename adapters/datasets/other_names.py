"""Columns that people call otherwise: what can be told is read, and what cannot is refused with the way out."""

from collections.abc import Iterable, Mapping
from typing import Any

_ASK = ("prompt", "question", "query", "problem", "instruction", "input", "user", "human", "request")
_SAY = ("completion", "response", "output", "reply", "solution", "target", "assistant", "gpt")
_CHECKED = ("answer", "final_answer", "expected_answer", "ground_truth")
_WANTED = ("chosen", "chosen_response", "response_chosen", "preferred", "accepted")
_UNWANTED = ("rejected", "rejected_response", "response_rejected", "dispreferred", "non_preferred")


def usual_names(row: Mapping[str, Any]) -> dict[str, str]:
    """The row's column for each name of ours, where there is only one way to read it; else nothing."""
    asking, saying, checked = (_found(row, names) for names in (_ASK, _SAY, _CHECKED))
    wanted, unwanted = _found(row, _WANTED), _found(row, _UNWANTED)
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


def way_out(row: Mapping[str, Any]) -> dict[str, str]:
    """What somebody could give as the columns of such a row: the likeliest ones; nothing where none can be told."""
    asking, saying = _found(row, _ASK), _found(row, (*_SAY, *_CHECKED))
    wanted, unwanted = _found(row, _WANTED), _found(row, _UNWANTED)
    if wanted and unwanted:
        return {"chosen": wanted[0], "rejected": unwanted[0]} | ({"prompt": asking[0]} if asking else {})
    asking = [column for column in asking if column not in saying]
    if asking and saying:
        return {_asks(asking[0]): asking[0], "completion": saying[0]}
    lists = [column for column, value in row.items() if _holds_messages(value)]
    if lists:
        return {"messages": lists[0]}
    return {}


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
    return isinstance(value, list) and bool(value) and all(isinstance(part, dict) for part in value)
