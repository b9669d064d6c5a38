"""Which tokens a row has and which of them are learned, for tokenizers of every kind."""

from pathlib import Path
from typing import Any

import pytest

from adapters.shared.conversations import PLAIN_TEMPLATE, completed, encode, prompt_ids, prompt_of
from infra import samples

BASE = Path(samples.__file__).parent / "small-base"
TALK = [
    {"role": "user", "content": "1+1="},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "and 2+2="},
    {"role": "assistant", "content": "4"},
]
UNMARKED = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(BASE, local_files_only=True)


def learned(tokenizer: Any, row: dict[str, Any]) -> str:
    encoded = encode(tokenizer, row)
    return str(tokenizer.decode([i for i, is_so in zip(encoded.ids, encoded.learned, strict=True) if is_so]))


@pytest.mark.parametrize("marked", [True, False], ids=["marked template", "unmarked template"])
def test_of_a_conversation_all_that_the_assistant_says_is_learned(tokenizer: Any, marked: bool) -> None:
    if not marked:
        tokenizer.chat_template = UNMARKED

    assert learned(tokenizer, {"messages": TALK}) == "2<|end|>4<|end|>"
    assert tokenizer.decode(encode(tokenizer, {"messages": TALK}).ids).startswith("<|user|>1+1=<|end|><|assistant|>2")


def test_a_tokenizer_without_a_template_or_a_pad_token_gets_both(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    tokenizer.pad_token = None

    completed(tokenizer)

    assert tokenizer.chat_template == PLAIN_TEMPLATE
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert tokenizer.decode(encode(tokenizer, {"messages": TALK}).ids) == (
        "User: 1+1=\nAssistant: 2<|end|>\nUser: and 2+2=\nAssistant: 4<|end|>\n"
    )
    assert learned(tokenizer, {"messages": TALK}) == "2<|end|>4<|end|>"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": TALK[:1], "completion": TALK[1:2]}, "2<|end|>"),
        ({"prompt": TALK[:3], "completion": TALK[3:]}, "4<|end|>"),
        ({"prompt": "1+1=", "completion": "2"}, "2<|end|>"),
        ({"text": "1+1=2"}, "1+1=2<|end|>"),
    ],
)
def test_of_a_completion_the_completion_is_learned_and_of_a_text_everything(
    tokenizer: Any, row: dict[str, Any], said: str
) -> None:
    assert learned(tokenizer, row) == said


def test_a_prompt_ends_where_the_assistant_begins(tokenizer: Any) -> None:
    asked = prompt_of({"messages": TALK})

    assert asked == TALK[:3]
    assert tokenizer.decode(prompt_ids(tokenizer, asked)).endswith("and 2+2=<|end|><|assistant|>")
    assert tokenizer.decode(prompt_ids(tokenizer, "1+1=")) == "1+1="


def test_what_is_cut_keeps_its_beginning(tokenizer: Any) -> None:
    encoded = encode(tokenizer, {"messages": TALK})

    assert encoded.cut_to(3).ids == encoded.ids[:3]
    assert encoded.cut_to(3).learned == [False] * 3
