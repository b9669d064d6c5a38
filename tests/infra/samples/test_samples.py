"""The sample data is what its cards say, and the small base model opens wherever it is promised to."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra.samples import make_base_model, make_datasets
from infra.samples.arithmetic import Addition, split
from infra.samples.make_datasets import DEMOS, Demo

SAMPLES = Path(make_datasets.__file__).parent
BASE = make_base_model.FOLDER

each_demo = pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.folder)

CONVERSATION = [
    {"role": "user", "content": "47+38="},
    {"role": "assistant", "content": "<think>7+8=15 4+3+1=8</think><answer>85</answer>"},
]


def rows(demo: Demo, part: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLES / demo.folder / part).read_text().splitlines()]


def question(row: dict[str, Any]) -> Addition:
    asks = row.get("prompt") or row["messages"]
    left, right = asks[0]["content"].removesuffix("=").split("+")
    return Addition(int(left), int(right))


def asked(demo: Demo, part: str) -> set[Addition]:
    return {question(row) for row in rows(demo, part)}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(BASE, local_files_only=True)


@pytest.fixture(scope="module")
def in_mlx() -> Any:
    from mlx_lm import load

    return load(str(BASE))


def test_a_demonstration_carries_the_ones_into_the_tens() -> None:
    assert Addition(47, 38).demonstration == CONVERSATION[1]["content"]
    assert Addition(95, 25).demonstration == "<think>5+5=10 9+2+1=12</think><answer>120</answer>"


def test_every_addition_is_either_trained_on_or_held_out_in_both_orders() -> None:
    train, held_out = set(split().train), set(split().held_out)

    assert len(train | held_out) == 90 * 90
    assert not train & held_out
    assert held_out == {addition.swapped for addition in held_out}


@each_demo
def test_making_a_dataset_again_gives_the_same_bytes(demo: Demo, tmp_path: Path) -> None:
    make_datasets.write(demo, tmp_path)

    for part in ("train.jsonl", "held_out.jsonl"):
        assert (tmp_path / demo.folder / part).read_bytes() == (SAMPLES / demo.folder / part).read_bytes()


@each_demo
@pytest.mark.parametrize("other", DEMOS, ids=lambda demo: demo.folder)
def test_what_one_demo_holds_out_no_demo_trains_on_in_either_order(demo: Demo, other: Demo) -> None:
    held_out = asked(demo, "held_out.jsonl")

    assert not (held_out | {addition.swapped for addition in held_out}) & asked(other, "train.jsonl")


@each_demo
def test_what_a_demo_holds_out_the_base_model_has_not_seen_either(demo: Demo) -> None:
    assert not asked(demo, "held_out.jsonl") & set(split().train)


@each_demo
@pytest.mark.parametrize("part", ["train.jsonl", "held_out.jsonl"])
def test_every_row_has_the_right_answer_and_no_question_comes_twice(demo: Demo, part: str) -> None:
    for row in rows(demo, part):
        addition = question(row)
        if "answer" in row:
            assert row["answer"] == str(addition.left + addition.right)
        else:
            reply = row["messages"][-1]["content"]
            answer = re.fullmatch(r"<think>[\d+= ]+</think><answer>(\d+)</answer>", reply)
            assert answer
            assert int(answer[1]) == addition.left + addition.right
    assert len(asked(demo, part)) == len(rows(demo, part))


@each_demo
def test_a_demo_is_small_and_has_a_card(demo: Demo) -> None:
    folder = SAMPLES / demo.folder

    assert len(rows(demo, "held_out.jsonl")) == 200
    assert (folder / "README.md").is_file()
    assert sum(file.stat().st_size for file in folder.iterdir()) < 300_000


def test_the_base_model_is_under_four_megabytes_and_has_a_card() -> None:
    assert (BASE / "README.md").is_file()
    assert sum(file.stat().st_size for file in BASE.iterdir()) < 4_000_000


def test_the_chat_template_writes_the_conversation_that_the_model_was_pretrained_on(tokenizer: Any) -> None:
    text = tokenizer.apply_chat_template(CONVERSATION, tokenize=False)
    prompt = tokenizer.apply_chat_template(CONVERSATION[:1], tokenize=False, add_generation_prompt=True)

    assert text == f"<|user|>47+38=<|end|><|assistant|>{CONVERSATION[1]['content']}<|end|>"
    assert prompt == "<|user|>47+38=<|end|><|assistant|>"


def test_the_generation_mask_covers_the_assistants_text_and_its_end_alone(tokenizer: Any) -> None:
    encoded = tokenizer.apply_chat_template(CONVERSATION * 2, return_dict=True, return_assistant_tokens_mask=True)
    spoken = [token for token, mask in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mask]

    assert tokenizer.decode(spoken) == f"{CONVERSATION[1]['content']}<|end|>" * 2


def test_decoding_keeps_the_format_and_drops_the_control_tokens(tokenizer: Any) -> None:
    text = f"<|assistant|>{CONVERSATION[1]['content']}<|end|>"

    ids = tokenizer(text, add_special_tokens=False).input_ids

    assert tokenizer.decode(ids, skip_special_tokens=True) == CONVERSATION[1]["content"]


def test_the_shipped_tokenizer_is_the_one_that_the_script_makes(tokenizer: Any) -> None:
    made = make_base_model.make_tokenizer()

    assert made.get_vocab() == tokenizer.get_vocab()
    assert made.chat_template == tokenizer.chat_template
    assert (tokenizer.pad_token, tokenizer.eos_token, tokenizer.padding_side) == ("<|pad|>", "<|end|>", "left")


def test_transformers_and_mlx_open_the_same_model(tokenizer: Any, in_mlx: tuple[Any, Any]) -> None:
    import mlx.core as mx
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(BASE, local_files_only=True)
    mlx_model, mlx_tokenizer = in_mlx
    ids = tokenizer.apply_chat_template(CONVERSATION, return_dict=True)["input_ids"]
    with torch.inference_mode():
        torch_logits = model(torch.tensor([ids])).logits[0].numpy()
    mlx_logits = np.array(mlx_model(mx.array([ids]))[0])

    assert mlx_tokenizer.apply_chat_template(CONVERSATION, add_generation_prompt=False) == ids
    assert model.num_parameters() < 700_000
    np.testing.assert_allclose(mlx_logits, torch_logits, atol=1e-3)
