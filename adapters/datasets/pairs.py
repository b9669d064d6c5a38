"""A prompt and its answers, however a file has them: apart, in whole conversations, or in texts that begin alike."""

import re
from typing import Any

from adapters.datasets.files.raw_rows import RawRow
from adapters.datasets.row import Messages, Row, as_messages, begins_with

Said = str | Messages

# The dialogues of Anthropic's hh-rlhf, and of what was made after it.
_SPEAKERS = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):[ ]?")


def from_preferences(row: Row) -> dict[str, Any]:
    """A pair of a wanted and an unwanted answer to the same prompt."""
    chosen, rejected = (_read_as_dialogue(row.said(side, by="assistant")) for side in ("chosen", "rejected"))
    return _pair(row, _prompt(row), chosen, rejected) | _without_prompts(row.rest())


def from_preferred_outputs(row: Row) -> dict[str, Any]:
    """OpenAI's files of preferences: the conversation in an object, and a list of messages for each side."""
    given = row.raw.fields["input"]
    if not isinstance(given, dict) or "messages" not in given:
        raise row.wrong("input", "must be an object with messages.")
    inner = Row(RawRow(row.raw.place, given))
    prompt = inner.said("messages", by="user")
    chosen, rejected = (row.said(side, by="assistant") for side in ("preferred_output", "non_preferred_output"))
    tools = {name: value for name, value in inner.rest().items() if name == "tools"}
    return _pair(row, prompt, chosen, rejected) | tools | _without_prompts(row.rest("input"))


def behind_prompt(row: Row, prompt: Said, answer: Said, column: str) -> tuple[Said, Said]:
    """A prompt and what is answered; an answer that is the whole conversation is parted behind its prompt."""
    if isinstance(prompt, str) and isinstance(answer, str):
        return prompt, answer
    asked, said = as_messages(prompt, "user"), as_messages(answer)
    whole = _whole(row, asked, said, column)
    if whole is None:
        return asked, said
    begins = next(number for number, message in enumerate(whole) if number >= len(asked) and _answers(message))
    return whole[:begins], whole[begins:]


def _prompt(row: Row) -> Said | None:
    """What the row's own columns ask; None where the answers hold it themselves."""
    if row.has("prompt"):
        return _read_as_dialogue(row.asked("prompt"), ends_with="user")
    if row.has("question"):
        return as_messages(row.asked("question"), "user")
    if row.has("instruction"):
        return row.in_context([{"role": "user", "content": instruction_of(row)}])
    for column in ("conversations", "messages"):
        if row.has(column):
            messages = row.messages(column)
            return row.in_context(messages if messages[-1]["role"] != "assistant" else messages[:-1]) or None
    return None


def instruction_of(row: Row) -> str:
    """Alpaca's instruction, with what it is about in `input`."""
    instruction = row.text("instruction")
    given = row.text("input", may_be_empty=True) if row.has("input") else ""
    return f"{instruction}\n\n{given}" if given.strip() else instruction


def _pair(row: Row, prompt: Said | None, chosen: Said, rejected: Said) -> dict[str, Any]:
    if prompt is None:
        prompt, chosen, rejected = _parted(row, chosen, rejected)
    elif not all(isinstance(part, str) for part in (prompt, chosen, rejected)):
        asked = as_messages(prompt, "user")
        wholes = [
            _whole(row, asked, as_messages(side), column)
            for side, column in ((chosen, "chosen"), (rejected, "rejected"))
        ]
        whole, other = (
            [*asked, *as_messages(side)] if found is None else found
            for found, side in zip(wholes, (chosen, rejected), strict=True)
        )
        prompt, chosen, rejected = asked, whole[len(asked) :], other[len(asked) :]
        if any(found is not None for found in wholes):
            prompt, chosen, rejected = _parted_conversations(row, whole, other)
    if chosen == rejected:
        raise row.wrong("rejected", "is the same as 'chosen', so there is nothing to prefer. Remove the row.")
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def _whole(row: Row, asked: Messages, said: Messages, column: str) -> Messages | None:
    """The whole conversation, if an answer is one that has the prompt in it; None for an answer alone."""
    if begins_with(said, asked):
        return [*asked, *said[len(asked) :]]
    if _answers(said[0]) or said[0]["role"] == "tool":
        return None
    system, others = (asked[:1], asked[1:]) if asked[0]["role"] == "system" else ([], asked)
    if system and (not others or begins_with(said, others)):
        return [*system, *said]
    if said[0]["role"] == "system" and begins_with(said[1:], asked):
        return [said[0], *asked, *said[1 + len(asked) :]]
    raise row.wrong(
        column, "is a conversation that does not begin with what is in the prompt. Keep the answer alone, or no prompt."
    )


def _parted(row: Row, chosen: Said, rejected: Said) -> tuple[Said, Said, Said]:
    if isinstance(chosen, list) and isinstance(rejected, str):
        chosen, rejected = row.in_context(chosen), as_messages(rejected)
        return chosen[:-1], chosen[-1:], rejected
    if isinstance(chosen, list) and isinstance(rejected, list):
        if row.raw.fields.get("system"):
            chosen, rejected = row.in_context(chosen), row.in_context(rejected)
        return _parted_conversations(row, chosen, rejected)
    if isinstance(chosen, str) and isinstance(rejected, str):
        shared = _in_common(chosen, rejected)
        while shared and not chosen[shared - 1].isspace():
            shared -= 1
        prompt = chosen[:shared].rstrip()
        if prompt and all(len(side) > shared for side in (chosen, rejected)):
            return prompt, chosen[len(prompt) :], rejected[len(prompt) :]
    raise row.wrong(
        "chosen",
        "and 'rejected' are texts without a 'prompt', and do not begin alike. Add the column prompt, or say which one "
        "it is: --columns prompt=NAME.",
    )


def _parted_conversations(row: Row, chosen: Messages, rejected: Messages) -> tuple[Messages, Messages, Messages]:
    shared = _in_common(chosen, rejected)
    prompt = chosen[:shared]
    if not prompt or not chosen[shared:] or not rejected[shared:]:
        raise row.wrong("chosen", "and 'rejected' must begin with the same prompt and then differ.")
    return prompt, chosen[shared:], rejected[shared:]


def _read_as_dialogue(said: Said, *, ends_with: str = "assistant") -> Said:
    """A text such as «Human: … Assistant: …» as messages; any other as it is."""
    if not isinstance(said, str):
        return said
    before, *turns = _SPEAKERS.split(said)
    if before or len(turns) < 2 or turns[0] != "Human":
        return said
    roles = ["user" if speaker == "Human" else "assistant" for speaker in turns[::2]]
    messages = [
        {"role": role, "content": words.strip()}
        for role, words in zip(roles, turns[1::2], strict=True)
        if words.strip()
    ]
    return messages if messages and messages[-1]["role"] == ends_with else said


def _answers(message: dict[str, Any]) -> bool:
    return bool(message["role"] == "assistant")


def _without_prompts(columns: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in columns.items() if name not in _PROMPTS}


def _in_common(one: Any, other: Any) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


_PROMPTS = ("prompt", "question", "instruction", "input", "conversations", "messages", "system")
