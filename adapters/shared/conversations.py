"""How rows become tokens, for training and for measuring alike: which tokens there are, and which of them are learned.

Works with any tokenizer of transformers (mlx_lm's wrapper passes everything on to one).
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.chat_templates import (
    Message,
    Span,
    answers_in,
    ends_unmarked,
    left_out,
    template_for_training,
    template_of,
    write,
)
from adapters.control_tokens import control_tokens
from domain.errors import InvalidInput

# For base models that come without a chat template: plain words, so that no token has to be added.
PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "Assistant: {% generation %}{{ message['content'] }}{{ eos_token }}{% endgeneration %}{{ '\\n' }}"
    "{% else %}"
    "{{ message['role'] | capitalize }}: {{ message['content'] }}{{ '\\n' }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant: {% endif %}"
)

Asked = str | Sequence[Message] | Mapping[str, Any]
"""What a model is asked: a text, a conversation, or `{"messages": …, "tools": …}` where it may call tools."""


@dataclass(frozen=True)
class Encoded:
    """A row's tokens; `learned` says of each whether it is the assistant's, and so part of the loss."""

    ids: list[int]
    learned: list[bool]

    def cut_to(self, length: int) -> "Encoded":
        return Encoded(self.ids[:length], self.learned[:length])


def completed(tokenizer: Any) -> Any:
    """The tokenizer with what trainings need and some base models lack: a chat template and a token to pad with.

    Where the tokenizer begins a text with tokens of its own, as Gemma's does with `<bos>`, conversations begin so too.
    """
    if not getattr(tokenizer, "chat_template", None):
        begins = tokenizer.decode(_before(tokenizer))
        tokenizer.chat_template = "".join((f"{{{{ {begins!r} }}}}" if begins else "", PLAIN_TEMPLATE))
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def encode(tokenizer: Any, row: Mapping[str, Any]) -> Encoded:
    """The tokens of one row with `messages`, `prompt` and `completion`, or `text`, and which of them are learned.

    Of a conversation that is what the assistant says, but for messages of weight 0; of a prompt with its completion the
    completion, of a text all. `tools` of the row are written as the chat template writes them.
    """
    if "messages" in row:
        return _conversation(tokenizer, row["messages"], row.get("tools"))
    if "text" in row:
        ids = _ended(tokenizer, _begun(tokenizer, row["text"]))
        return Encoded(ids, [True] * len(ids))
    prompt, completion = row["prompt"], row["completion"]
    if not isinstance(prompt, str):
        return _conversation(tokenizer, [*prompt, *completion], row.get("tools"), learned_from=len(prompt))
    asked, whole = _begun(tokenizer, prompt), _begun(tokenizer, prompt + completion)
    # Told from the whole, because some tokenizers write a space before whatever a text begins with.
    said = whole[len(asked) :] if whole[: len(asked)] == asked else _plain(tokenizer, completion)
    said = _ended(tokenizer, said)
    return Encoded(asked + said, [False] * len(asked) + [True] * len(said))


def prompt_ids(tokenizer: Any, prompt: Asked) -> list[int]:
    """The tokens that ask the model to go on: of a text, or of a conversation whose turn is the assistant's."""
    if isinstance(prompt, str):
        return _begun(tokenizer, prompt)
    messages, tools = (prompt["messages"], prompt.get("tools")) if isinstance(prompt, Mapping) else (prompt, None)
    messages, tools = control_tokens(tokenizer).guarded((messages, tools))
    return _with_places(
        tokenizer, write(tokenizer, template_of(tokenizer, tools), messages, tools, ask=True).text, ()
    ).ids


def prompt_of(row: Mapping[str, Any]) -> str | list[Message]:
    """What a row asks: its prompt, or its conversation up to the assistant's last words."""
    if "prompt" in row:
        return row["prompt"] if isinstance(row["prompt"], str) else list(row["prompt"])
    return list(row["messages"][:-1])


def asked_of(row: Mapping[str, Any]) -> str | list[Message] | Mapping[str, Any]:
    """What a model is asked with a row: its prompt, and the tools that the row names."""
    prompt = prompt_of(row)
    if isinstance(prompt, str) or not row.get("tools"):
        return prompt
    return {"messages": prompt, "tools": row["tools"]}


def answered(row: Mapping[str, Any], side: str) -> Mapping[str, Any]:
    """A row of preferences with one of its answers, `chosen` or `rejected`, as a prompt with its completion."""
    tools = {"tools": row["tools"]} if row.get("tools") else {}
    return {"prompt": row["prompt"], "completion": row[side], **tools}


def begin_of_answer(row: Encoded) -> int:
    """After how many tokens what is learned begins."""
    return row.learned.index(True) if any(row.learned) else len(row.ids)


def _conversation(
    tokenizer: Any, messages: Sequence[Message], tools: Sequence[Any] | None, *, learned_from: int = 0
) -> Encoded:
    """The conversation's tokens; the assistant's are learned from the message with this number on."""
    messages, tools = control_tokens(tokenizer).guarded((messages, tools))
    template = template_for_training(tokenizer, tools)
    whole = write(tokenizer, template, messages, tools)
    learned: list[Span] = []
    for number, places in answers_in(tokenizer, template, messages, tools, whole).items():
        if number < learned_from or messages[number].get("weight") == 0:
            continue
        if missing := left_out("".join(whole.text[begin:end] for begin, end in places), messages[number]):
            raise InvalidInput(f"it leaves out {missing} of message {number + 1}")
        learned += places
    encoded = _with_places(tokenizer, whole.text, learned)
    if learned and learned[-1][1] == len(whole.text) and ends_unmarked(whole.text, messages[-1]):
        return Encoded([*encoded.ids, tokenizer.eos_token_id], [*encoded.learned, True])
    return encoded


def _with_places(tokenizer: Any, text: str, learned: Sequence[Span]) -> Encoded:
    """The text's tokens; those that lie in a place are learned, and of those across its borders the ones half in it."""
    controls = control_tokens(tokenizer)
    ids, mask = list[int](), list[bool]()
    for (begin, end), is_people_s in controls.stretches(text):
        here = [
            (max(first, begin) - begin, min(last, end) - begin)
            for first, last in learned
            if first < end and begin < last
        ]
        words, here = controls.as_meant(text[begin:end], here) if is_people_s else (text[begin:end], here)
        part = _stretch(tokenizer, words, here, split_special_tokens=is_people_s)
        ids += part.ids
        mask += part.learned
    return Encoded(ids, mask)


def _stretch(tokenizer: Any, text: str, learned: Sequence[Span], *, split_special_tokens: bool) -> Encoded:
    how = {"add_special_tokens": False, "split_special_tokens": split_special_tokens}
    if getattr(tokenizer, "is_fast", False):
        encoded = tokenizer(text, return_offsets_mapping=True, **how)
        places, ends = encoded["offset_mapping"], [last for _, last in encoded["offset_mapping"]]
        mask = [False] * len(places)
        for begin, end in learned:
            at = bisect_right(ends, begin)
            while at < len(places) and places[at][0] < end:
                first, last = places[at]
                mask[at] = mask[at] or last - first <= 2 * (min(last, end) - max(first, begin))
                at += 1
        return Encoded(list(encoded["input_ids"]), mask)
    ids = list(tokenizer.encode(text, **how))
    mask = [False] * len(ids)
    for begin, end in learned:
        first, last = (_length_in_common(list(tokenizer.encode(text[:upto], **how)), ids) for upto in (begin, end))
        mask[first:last] = [True] * (last - first)
    return Encoded(ids, mask)


def _plain(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False))


def _begun(tokenizer: Any, text: str) -> list[int]:
    """The text's tokens behind those with which the tokenizer begins every text, unless the text has them itself."""
    before, ids = _before(tokenizer), _plain(tokenizer, text)
    return ids if ids[: len(before)] == before else before + ids


def _ended(tokenizer: Any, ids: list[int]) -> list[int]:
    return ids if ids[-1:] == [tokenizer.eos_token_id] else [*ids, tokenizer.eos_token_id]


def _before(tokenizer: Any) -> list[int]:
    """The tokens that the tokenizer puts before every text."""
    alone, whole = _plain(tokenizer, "a"), list(tokenizer.encode("a"))
    return whole[: next((i for i in range(len(whole)) if whole[i : i + len(alone)] == alone), 0)]


def _length_in_common(one: Sequence[int], other: Sequence[int]) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
