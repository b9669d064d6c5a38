"""What counts as an answer, where answers can be checked: for rewards while training and for measuring alike."""

import re
from collections.abc import Mapping
from typing import Any

from domain.exact_numbers import number_in

# No pattern here tries several ways of dividing a text: a model may repeat a mark thousands of times.
_HASHES = re.compile(r"^####", re.MULTILINE)
_SAID = re.compile(r"\S")
_BRACES = re.compile(r"\\boxed\s{0,9}\{|\\[{}]|[{}]")
_BOX_ALONE = re.compile(r"\\boxed\s{0,9}\{")

# What mathematical writing says in several ways, and what only sets it.
_WORDS = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|operatorname)\s?\{([^{}]*)\}")
_SETTING = re.compile(r"\\(?:left|right|displaystyle)(?![A-Za-z])|\\!")
_SPACE = re.compile(r"\\[,;: ]")
_SHORT_FRACTION = re.compile(r"\\frac\s?(\d)\s?(\d)")
_LOOSE = re.compile(r"(?:(?<=[(),+\-*/=^_{}<>|\[\]])\s|\s(?=[(),+\-*/=^_{}<>|\[\]]))")
_AROUND = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))


def marked_answer(text: str) -> str | None:
    """The last answer that a text marks as such, in `<answer>` tags, after `####` or in `\\boxed{}`; None without."""
    for answers in (_in_tags(text), _after_hashes(text), _boxed(text)):
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


def _boxed(text: str) -> list[str]:
    """What stands in each `\\boxed{}`, whatever braces are in it; of boxes in a box only the outer one."""
    opened: list[tuple[int, bool]] = []
    answers: list[tuple[int, int]] = []
    for brace in _BRACES.finditer(text):
        if brace[0].endswith("{") and brace[0] != "\\{":
            opened.append((brace.end(), brace[0].startswith("\\boxed")))
        elif brace[0] == "}" and opened:
            begin, is_box = opened.pop()
            if is_box:
                while answers and answers[-1][0] > begin:
                    answers.pop()
                answers.append((begin, brace.start()))
    return [text[begin:end] for begin, end in answers]


def expected_answer(row: Mapping[str, Any]) -> str | None:
    """The answer that a row expects: its `answer`, or the one that its demonstration marks; None without.

    Where the `answer` is a whole solution, it is what this marks.
    """
    if "answer" in row:
        answer = str(row["answer"])
        return marked_answer(answer) or answer
    if row.get("messages"):
        return marked_answer(text_of(row["messages"][-1:]))
    if "completion" in row and "label" not in row:
        return marked_answer(text_of(row["completion"]))
    return None


def is_nothing_but(text: str, marked: str) -> bool:
    """Whether a text only marks its answer, and says nothing of the way to it."""
    return text.strip() in (f"<answer>{marked}</answer>", f"#### {marked}", f"####{marked}", f"\\boxed{{{marked}}}")


def question_of(row: Mapping[str, Any]) -> str:
    """What makes two rows the same lesson: their question, or without one their whole text; white space aside."""
    asked = row["prompt"] if "prompt" in row else row.get("messages", row.get("text", ""))
    if isinstance(asked, str):
        return " ".join(asked.split())
    turns = [message for message in asked if message["role"] != "assistant"] or asked
    return "\n".join(f"{message['role']}: {' '.join(words_of(message).split())}" for message in turns)


def is_right(said: str, expected: str) -> bool:
    """Whether what was said marks the expected answer, or is nothing but it. Numbers are compared as exact numbers."""
    answer = marked_answer(said)
    answer, expected = _bare(said if answer is None else answer), _bare(expected)
    number = number_in(answer)
    return number == number_in(expected) if number is not None else _as_words(answer) == _as_words(expected)


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
    return said if isinstance(said, str) else "\n".join(words_of(message) for message in said)


def words_of(message: Mapping[str, Any]) -> str:
    """What a message says; nothing where it only calls tools."""
    return str(message.get("content") or "")


def _bare(answer: str) -> str:
    """The answer without what only sets it: boxes, dollars around a formula, commands for text and space."""
    answer = answer.strip()
    if _BOX_ALONE.match(answer) and answer.endswith("}") and len(inner := _boxed(answer)) == 1:
        answer = inner[0].strip()
    for opens, closes in _AROUND:
        if len(answer) > len(opens + closes) and answer.startswith(opens) and answer.endswith(closes):
            answer = answer[len(opens) : -len(closes)].strip()
    return _SPACE.sub(" ", _SETTING.sub("", _WORDS.sub(r"\1", answer))).strip() if "\\" in answer else answer


def _as_words(answer: str) -> str:
    answer = answer.replace("\u2212", "-").replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    answer = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", answer)
    return _LOOSE.sub("", " ".join(answer.split())).casefold()
