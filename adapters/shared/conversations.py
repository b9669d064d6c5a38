"""How rows become tokens, for training and for measuring alike: which tokens there are, and which of them are learned.

Works with any tokenizer of transformers (mlx_lm's wrapper passes everything on to one).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Message = Mapping[str, Any]

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


@dataclass(frozen=True)
class Encoded:
    """A row's tokens; `learned` says of each whether it is the assistant's, and so part of the loss."""

    ids: list[int]
    learned: list[bool]

    def cut_to(self, length: int) -> "Encoded":
        return Encoded(self.ids[:length], self.learned[:length])


def completed(tokenizer: Any) -> Any:
    """The tokenizer with what trainings need and some base models lack: a chat template and a token to pad with."""
    if not getattr(tokenizer, "chat_template", None):
        tokenizer.chat_template = PLAIN_TEMPLATE
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def encode(tokenizer: Any, row: Mapping[str, Any]) -> Encoded:
    """The tokens of one row with `messages`, `prompt` and `completion`, or `text`, and which of them are learned.

    Of a conversation that is what the assistant says, of a prompt with its completion the completion, of a text all.
    """
    if "messages" in row:
        return _conversation(tokenizer, row["messages"])
    if "text" in row:
        ids = _plain(tokenizer, row["text"], special=True)
        ids += [] if ids[-1:] == [tokenizer.eos_token_id] else [tokenizer.eos_token_id]
        return Encoded(ids, [True] * len(ids))
    prompt, completion = row["prompt"], row["completion"]
    if isinstance(prompt, str):
        asked = _plain(tokenizer, prompt, special=True)
        said = [*_plain(tokenizer, completion, special=False), tokenizer.eos_token_id]
    else:
        asked = prompt_ids(tokenizer, prompt)
        whole = _templated(tokenizer, [*prompt, *completion])
        shared = _length_in_common(asked, whole)
        asked, said = whole[:shared], whole[shared:]
    return Encoded(asked + said, [False] * len(asked) + [True] * len(said))


def prompt_ids(tokenizer: Any, prompt: str | Sequence[Message]) -> list[int]:
    """The tokens that ask the model to go on: of a text, or of a conversation whose turn is the assistant's."""
    if isinstance(prompt, str):
        return _plain(tokenizer, prompt, special=True)
    return _templated(tokenizer, prompt, add_generation_prompt=True)


def prompt_of(row: Mapping[str, Any]) -> str | list[Message]:
    """What a row asks: its prompt, or its conversation up to the assistant's last words."""
    if "prompt" in row:
        return row["prompt"] if isinstance(row["prompt"], str) else list(row["prompt"])
    return list(row["messages"][:-1])


def _conversation(tokenizer: Any, messages: Sequence[Message]) -> Encoded:
    if "{% generation" in str(tokenizer.chat_template) or "{%- generation" in str(tokenizer.chat_template):
        encoded = tokenizer.apply_chat_template(list(messages), return_dict=True, return_assistant_tokens_mask=True)
        return Encoded(list(encoded["input_ids"]), [bool(mask) for mask in encoded["assistant_masks"]])
    ids = _templated(tokenizer, messages)
    learned = [False] * len(ids)
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            begin = _length_in_common(_templated(tokenizer, messages[:index], add_generation_prompt=True), ids)
            end = _length_in_common(_templated(tokenizer, messages[: index + 1]), ids)
            learned[begin:end] = [True] * (end - begin)
    return Encoded(ids, learned)


def _templated(tokenizer: Any, messages: Sequence[Message], **how: Any) -> list[int]:
    return list(tokenizer.apply_chat_template(list(messages), return_dict=True, **how)["input_ids"])


def _plain(tokenizer: Any, text: str, *, special: bool) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=special))


def _length_in_common(one: Sequence[int], other: Sequence[int]) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
