"""Tokenizers of families that begin and end texts in different ways, each held against what its family says."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.conversations import completed, encode, prompt_ids
from infra import samples

BASE = Path(samples.__file__).parent / "small-base"


@dataclass(frozen=True)
class Family:
    """What a family's tokenizer puts before and behind a text, and the token with which it ends one."""

    before: Sequence[str] = ()
    behind: Sequence[str] = ()
    eos: str = "</s>"
    pad: str | None = None
    spaces: bool = False
    """Whether a text gets a space before its first word, as SentencePiece does."""


FAMILIES = {
    "GPT-2, Qwen": Family(eos="<|endoftext|>"),
    "Qwen with its end as its padding": Family(eos="<|endoftext|>", pad="<|endoftext|>"),
    "Llama 2, Mistral": Family(before=["<s>"], spaces=True),
    "Llama 3": Family(before=["<|begin_of_text|>"], eos="<|end_of_text|>"),
    "Gemma": Family(before=["<bos>"], eos="<eos>", pad="<pad>"),
    "GLM-4": Family(before=["[gMASK]", "<sop>"], eos="<|endoftext|>"),
    "with add_eos_token": Family(before=["<s>"], behind=["</s>"]),
    "ends texts itself, begins none": Family(behind=["</s>"], pad="</s>"),
}
TALK = [{"role": "user", "content": "1+1="}, {"role": "assistant", "content": "2"}]


def tokenizer_of(family: Family) -> Any:
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    special = list(dict.fromkeys([*family.before, *family.behind, family.eos, *([family.pad] if family.pad else [])]))
    letters = [chr(i) for i in range(33, 127)]
    space = "▁" if family.spaces else "Ġ"
    tokens = {token: i for i, token in enumerate([*letters, space, "\n", "Ċ"])}
    backend = Tokenizer(BPE(tokens, [], unk_token=None))
    if family.spaces:
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        backend.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(content=" ", left=1)]
        )
    else:
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(special)
    if family.before or family.behind:
        backend.post_processor = processors.TemplateProcessing(
            single=[*family.before, "$A", *family.behind],
            special_tokens=[(token, backend.token_to_id(token)) for token in [*family.before, *family.behind]],
        )
    names = {"eos_token": family.eos} | ({"pad_token": family.pad} if family.pad else {})
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def pieces(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    return [str(token) for token in tokenizer.convert_ids_to_tokens(list(ids))]


@pytest.fixture(params=FAMILIES.values(), ids=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("has", ["", "its beginning", "its end"])
def test_a_text_begins_and_ends_once(family: Family, has: str) -> None:
    tokenizer = tokenizer_of(family)
    text = {"": "ab", "its beginning": "".join(family.before) + "ab", "its end": "ab" + family.eos}[has]

    encoded = encode(tokenizer, {"text": text})

    said = [piece for piece in pieces(tokenizer, encoded.ids) if piece != "▁"]
    assert said == [*family.before, "a", "b", family.eos]
    assert all(encoded.learned)


@pytest.mark.parametrize("completion", ["2", "2{eos}"])
def test_a_prompt_begins_and_its_completion_ends_once_with_nothing_between(family: Family, completion: str) -> None:
    tokenizer = tokenizer_of(family)

    encoded = encode(tokenizer, {"prompt": "1+1=", "completion": completion.format(eos=family.eos)})

    asked = prompt_ids(tokenizer, "1+1=")
    assert encoded.ids[: len(asked)] == asked
    assert [piece for piece in pieces(tokenizer, asked) if piece != "▁"] == [*family.before, *"1+1="]
    assert pieces(tokenizer, encoded.ids[len(asked) :]) == ["2", family.eos]
    assert encoded.learned == [False] * len(asked) + [True, True]


def test_a_conversation_of_a_base_model_without_a_template_begins_as_its_texts_do(family: Family) -> None:
    tokenizer = completed(tokenizer_of(family))

    encoded = encode(tokenizer, {"messages": TALK})

    said = pieces(tokenizer, encoded.ids)
    assert said[: len(family.before)] == list(family.before)
    assert not set(family.before) & set(said[len(family.before) :])
    learned = [piece for piece, is_so in zip(said, encoded.learned, strict=True) if is_so]
    assert learned == ["2", family.eos]
    asked = prompt_ids(tokenizer, TALK[:1])
    assert encoded.ids[: len(asked)] == asked


def test_a_template_says_itself_how_a_conversation_begins(family: Family) -> None:
    tokenizer = tokenizer_of(family)
    begins = "".join(family.before)
    tokenizer.chat_template = begins + (
        "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}a:{% endif %}"
    )

    encoded = encode(tokenizer, {"messages": TALK})

    said = [piece for piece in pieces(tokenizer, encoded.ids) if piece != "▁"]
    assert said == [*family.before, *"u:1+1=", family.eos, *"a:2", family.eos]
    learned = [piece for piece, is_so in zip(pieces(tokenizer, encoded.ids), encoded.learned, strict=True) if is_so]
    assert learned == ["2", family.eos]


def test_a_model_whose_template_ends_no_answer_learns_to_end_all_the_same(family: Family) -> None:
    tokenizer = tokenizer_of(family)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}a:{% endif %}"
    )

    encoded = encode(tokenizer, {"messages": TALK})

    learned = [piece for piece, is_so in zip(pieces(tokenizer, encoded.ids), encoded.learned, strict=True) if is_so]
    assert learned == ["2", family.eos]
