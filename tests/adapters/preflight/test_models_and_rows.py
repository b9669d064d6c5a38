"""Base models, rows and trainers that do not go together are refused in a sentence, before anything begins."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.preflight import facts_of, must_judge
from adapters.preflight.shapes import must_take
from domain.catalogue.method_spec import Backend, MethodType
from domain.errors import InvalidBaseModel, InvalidConfigurationOptions, InvalidDataset
from domain.ports import BaseModel
from domain.runs.run_plan import RunPlan, Shape
from infra import samples

SMALL_BASE = Path(samples.__file__).parent / "small-base"

Changed = Callable[..., BaseModel]
Look = Callable[..., RunPlan]

PREFERENCE = {"prompt": "1+1=", "chosen": "2", "rejected": "3"}
JUDGED = {"prompt": "1+1=", "completion": "2", "label": True}
QUESTION = {"prompt": "1+1=", "answer": "2"}
TALK = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
OTHER_TALK = {"messages": [{"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]}

PICKY = (
    b"{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    b"{{ m.content }}{% endfor %}"
)


def test_a_plan_says_what_would_be_done_with_what(look: Look) -> None:
    plan = look(max_steps=10, batch_size=4)

    assert (plan.rows, plan.held_out, plan.shape, plan.steps) == (20, 4, Shape.MESSAGES, 10)
    assert plan.trained == plan.parameters == 674_688
    assert plan.warnings == ()


def test_an_adapter_trains_two_thin_matrices_beside_each_of_the_models(look: Look) -> None:
    # Three layers with four matrices of 128 by 128 and three of 128 by 384.
    assert look(adapter="lora", lora_rank=8).trained == 3 * 8 * (4 * (128 + 128) + 3 * (128 + 384))


def test_the_size_of_a_model_is_read_from_the_heads_of_its_files(base_model: Changed) -> None:
    facts = facts_of(base_model())

    assert facts.weight_bytes == 4 * facts.parameters
    assert (facts.layers, facts.hidden, facts.vocabulary, facts.positions) == (3, 128, 272, 512)


@pytest.mark.parametrize("architecture", ["LlamaForSequenceClassification", "BertForMaskedLM", "LlamaModel"])
def test_a_model_that_writes_no_text_is_refused_by_trainers_of_those_that_do(
    look: Look, base_model: Changed, architecture: str
) -> None:
    with pytest.raises(
        InvalidBaseModel, match=f"is a {architecture}, and the trainer trainer trains models that write"
    ):
        look(base=base_model(architectures=[architecture]))


def test_a_reward_model_may_go_on_learning_from_preferences(look: Look, base_model: Changed) -> None:
    judging = base_model(architectures=["LlamaForSequenceClassification"])

    assert look([PREFERENCE], [PREFERENCE | {"prompt": "2+2="}], base=judging, types=(MethodType.REWARD,)).rows == 1


def test_a_language_model_is_no_reward_model(base_model: Changed) -> None:
    must_judge(facts_of(base_model(architectures=["LlamaForSequenceClassification"])))
    with pytest.raises(InvalidBaseModel, match="gives no reward"):
        must_judge(facts_of(base_model()))


def test_a_model_that_mlx_does_not_know_is_refused_there(look: Look, base_model: Changed) -> None:
    assert look(backend=Backend.MLX)
    assert look(base=base_model(model_type="mistral"), backend=Backend.MLX)  # opened as a llama
    with pytest.raises(InvalidBaseModel, match="'unheard_of', which mlx_lm does not know"):
        look(base=base_model(model_type="unheard_of"), backend=Backend.MLX)


def test_all_weights_of_a_quantised_model_cannot_be_trained(look: Look, base_model: Changed) -> None:
    quantised = base_model(quantization={"bits": 4})

    assert look(base=quantised, adapter="lora")
    with pytest.raises(InvalidBaseModel, match="--set adapter=lora"):
        look(base=quantised)


def test_damaged_weights_are_refused(look: Look, base_model: Changed) -> None:
    with pytest.raises(InvalidBaseModel, match="is damaged"):
        look(base=base_model(files={"model.safetensors": b"\x10\0\0\0\0\0\0\0this is no json!"}))


def test_a_model_without_a_chat_template_is_told_how_conversations_are_written(look: Look, base_model: Changed) -> None:
    plain = base_model(files={"chat_template.jinja": None})

    assert look(base=plain).warnings == (
        "The base model has no chat template: conversations are written as «User: …» and «Assistant: …», here and in "
        "the result.",
    )
    assert look([{"text": f"{n} and {n}"} for n in range(9)], [{"text": "9"}], base=plain).warnings == ()


def test_a_tokenizer_without_a_padding_token_is_no_obstacle(look: Look, base_model: Changed) -> None:
    assert look(base=base_model(tokenizer={"pad_token": None})).warnings == ()


def test_a_tokenizer_without_an_end_is_refused(look: Look, base_model: Changed) -> None:
    with pytest.raises(InvalidBaseModel, match="eos_token"):
        look(base=base_model(tokenizer={"eos_token": None}))


def test_a_tokenizer_that_cannot_be_opened_is_refused(look: Look, base_model: Changed) -> None:
    with pytest.raises(InvalidBaseModel, match="cannot be opened"):
        look(base=base_model(files={"tokenizer.json": b"{"}))


def test_a_row_that_the_chat_template_refuses_is_named(look: Look, base_model: Changed) -> None:
    told = {"messages": [{"role": "system", "content": "s"}, *TALK["messages"]]}

    with pytest.raises(InvalidDataset, match=r"Training row 2 cannot be written .* no system role"):
        look([TALK, told], [OTHER_TALK], base=base_model(files={"chat_template.jinja": PICKY}))


_DEMONSTRATED = "messages; or prompt and completion; or text"
_ASKED = "prompt and answer; or prompt; or prompt and completion"


@pytest.mark.parametrize(
    ("row", "types", "taken"),
    [
        (QUESTION, MethodType.SFT, _DEMONSTRATED),
        (JUDGED, MethodType.SFT, _DEMONSTRATED),
        (PREFERENCE, MethodType.PEFT, _DEMONSTRATED),
        ({"text": "a"}, MethodType.DPO, "prompt, chosen and rejected"),
        (QUESTION, MethodType.REWARD, "prompt, chosen and rejected"),
        (TALK, MethodType.ORPO, "prompt, chosen and rejected"),
        ({"prompt": "a", "completion": "b"}, MethodType.KTO, "prompt, completion and label"),
        (TALK, MethodType.GRPO, _ASKED),
        (PREFERENCE, MethodType.PPO, _ASKED),
    ],
)
def test_rows_of_another_shape_are_refused_naming_the_shape_found_and_those_taken(
    look: Look, row: dict[str, Any], types: MethodType, taken: str
) -> None:
    with pytest.raises(InvalidDataset, match=rf"rows have .*, and the trainer trainer takes rows with {taken}\."):
        look([row], [row], types=(types,))


def test_rows_that_would_be_demonstrations_by_other_columns_are_refused_with_these() -> None:
    way_out = r"With --columns \"prompt=q, completion=a\" they are demonstrations, or choose another dataset"

    with pytest.raises(InvalidDataset, match=way_out) as refused:
        must_take("sft", (MethodType.SFT,), [QUESTION], as_demonstrations="prompt=q, completion=a")
    assert refused.value.columns == "prompt=q, completion=a"
    with pytest.raises(InvalidDataset, match=r"\. Choose another dataset") as refused:
        must_take("dpo", (MethodType.DPO,), [QUESTION], as_demonstrations="prompt=q, completion=a")
    assert refused.value.columns == ""


@pytest.mark.parametrize(
    ("row", "other", "types"),
    [
        (PREFERENCE, PREFERENCE | {"prompt": "x"}, MethodType.DPO),
        (QUESTION, QUESTION | {"prompt": "x"}, MethodType.GRPO),
        ({"prompt": "1+1=", "completion": "2"}, {"prompt": "x", "completion": "y"}, MethodType.SFT),
        ({"text": "a"}, {"text": "b"}, MethodType.PEFT),
    ],
)
def test_rows_of_its_shape_are_taken_by_each_trainer(
    look: Look, row: dict[str, Any], other: dict[str, Any], types: MethodType
) -> None:
    assert look([row] * 20, [other], types=(types,)).rows == 20


def test_judged_answers_are_taken_where_there_are_both_kinds_and_a_batch_holds_two(look: Look) -> None:
    unwanted = JUDGED | {"label": not JUDGED["label"]}
    rows, held_out, kto = [JUDGED] * 10 + [unwanted] * 10, [JUDGED | {"prompt": "x"}], (MethodType.KTO,)

    assert look(rows, held_out, types=kto, batch_size=2).rows == 20
    with pytest.raises(InvalidConfigurationOptions, match=r"'batch_size' \(4\) must be at least twice .* \(4\)"):
        look(rows, held_out, types=kto, gradient_accumulation_steps=4)
    with pytest.raises(InvalidConfigurationOptions, match=r"'batch_size' \(1\) must be at least twice"):
        look(rows, held_out, types=kto, batch_size=1)
    for alike in ([JUDGED], [unwanted]):
        label, other = (str(wanted).lower() for wanted in (alike[0]["label"], not alike[0]["label"]))
        with pytest.raises(InvalidDataset, match=f"have the label {label}, .* Add rows with {other}"):
            look(alike * 20, held_out, types=kto)


def test_a_methods_own_code_may_take_any_rows_with_any_options(look: Look) -> None:
    plan = look([QUESTION], [QUESTION | {"prompt": "x"}], types=tuple(MethodType), num_generations=3, max_length=2)

    assert plan.shape is Shape.QUESTIONS


def test_a_token_beyond_the_models_embedding_is_refused_with_the_way_out(look: Look, base_model: Changed) -> None:
    """MLX would train on whatever lies there, torch would die on the worker."""
    tokenizer = json.loads((SMALL_BASE / "tokenizer.json").read_bytes())
    added = tokenizer["added_tokens"]
    added += [{**added[-1], "id": number, "content": f"<|tool{number}|>"} for number in range(265, 273)]
    base = base_model(files={"tokenizer.json": json.dumps(tokenizer).encode()})
    look(base=base)

    says_it = {"messages": [{"role": "user", "content": "<|tool272|>"}, {"role": "assistant", "content": "b"}]}
    with pytest.raises(InvalidBaseModel, match=r"'<\|tool272\|>' as number 272.*ends at 271.*resize_token_embeddings"):
        look(base=base, rows=[*[TALK] * 2000, says_it])  # more rows than are examined
