"""What counts as an answer, where answers can be checked: for rewards while training and for measuring alike."""

import re
from collections.abc import Mapping
from typing import Any

_MARKED = (
    re.compile(r"<answer>(.*?)</answer>", re.DOTALL),
    re.compile(r"^####\s*(.+?)\s*$", re.MULTILINE),
    re.compile(r"\\boxed\{([^{}]*)\}"),
)
_REASONED = re.compile(r"\s*<think>.+?</think>\s*<answer>.+?</answer>\s*", re.DOTALL)


def marked_answer(text: str) -> str | None:
    """The last answer that a text marks as such, in `<answer>` tags, after `####` or in `\\boxed{}`; None without."""
    for pattern in _MARKED:
        if found := pattern.findall(text):
            return str(found[-1]).strip()
    return None


def expected_answer(row: Mapping[str, Any]) -> str | None:
    """The answer that a row expects: its `answer`, or the one that its demonstration marks; None without."""
    if "answer" in row:
        return str(row["answer"])
    if row.get("messages"):
        return marked_answer(text_of(row["messages"][-1:]))
    if "completion" in row and "label" not in row:
        return marked_answer(text_of(row["completion"]))
    return None


def question_of(row: Mapping[str, Any]) -> str:
    """What makes two rows the same lesson: their question, or without one their whole text; white space aside."""
    asked = row["prompt"] if "prompt" in row else row.get("messages", row.get("text", ""))
    if isinstance(asked, str):
        return " ".join(asked.split())
    turns = [message for message in asked if message["role"] != "assistant"] or asked
    return "\n".join(f"{message['role']}: {' '.join(str(message['content']).split())}" for message in turns)


def is_right(said: str, expected: str) -> bool:
    """Whether what was said marks the expected answer, or is nothing but it. Numbers are compared as numbers."""
    answer = marked_answer(said)
    return _plain(said if answer is None else answer) == _plain(expected)


def reasons_before_it_answers(said: str) -> bool:
    """Whether the whole text is `<think>…</think><answer>…</answer>`."""
    return _REASONED.fullmatch(said) is not None and said.count("<answer>") == 1


def text_of(said: Any) -> str:
    """A prompt or completion as text, whether it is text or a list of messages."""
    return said if isinstance(said, str) else "\n".join(str(message["content"]) for message in said)


def _plain(answer: str) -> str | float:
    answer = answer.strip()
    try:
        return float(answer.replace(",", "").removeprefix("$"))
    except ValueError:
        return answer.casefold()
