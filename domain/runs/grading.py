"""What counts as an answer, where answers can be checked: for rewards while training and for measuring alike."""

import re
from collections.abc import Mapping
from typing import Any

# No pattern here tries several ways of dividing a text: a model may repeat a mark thousands of times.
_HASHES = re.compile(r"^####", re.MULTILINE)
_SAID = re.compile(r"\S")
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")


def marked_answer(text: str) -> str | None:
    """The last answer that a text marks as such, in `<answer>` tags, after `####` or in `\\boxed{}`; None without."""
    for answers in (_in_tags(text), _after_hashes(text), _BOXED.findall(text)):
        if answers:
            return str(answers[-1]).strip()
    return None


def _in_tags(text: str) -> list[str]:
    answers: list[str] = []
    position = 0
    while (begins := text.find("<answer>", position)) >= 0 and (ends := text.find("</answer>", begins)) >= 0:
        answers.append(text[begins + len("<answer>") : ends])
        position = ends + len("</answer>")
    return answers


def _after_hashes(text: str) -> list[str]:
    """What follows each `####` at the beginning of a line: the rest of its line, or the next that says anything."""
    answers: list[str] = []
    position = 0
    while (hashes := _HASHES.search(text, position)) and (first := _SAID.search(text, hashes.end())):
        position = end if (end := text.find("\n", first.start())) >= 0 else len(text)
        answers.append(text[first.start() : position])
    return answers


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
    thought, opened, answer = said.strip().partition("<answer>")
    thought, answered = thought.rstrip(), answer.removesuffix("</answer>")
    return (
        bool(opened and answered)
        and "<answer>" not in answer
        and answer.endswith("</answer>")
        and thought.startswith("<think>")
        and thought.endswith("</think>")
        and len(thought) > len("<think></think>")
    )


def text_of(said: Any) -> str:
    """A prompt or completion as text, whether it is text or a list of messages."""
    return said if isinstance(said, str) else "\n".join(str(message["content"]) for message in said)


def _plain(answer: str) -> str | float:
    answer = answer.strip()
    try:
        return float(answer.replace(",", "").removeprefix("$"))
    except ValueError:
        return answer.casefold()
