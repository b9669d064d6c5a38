"""Files in the shapes in which people have them: each is read in whole, or refused with the way out."""

from pathlib import Path
from typing import Any

import pytest

from adapters.datasets import Datasets
from adapters.preflight.shapes import must_take
from domain.catalogue.method_spec import MethodType
from domain.errors import InvalidDataset

FILES = Path(__file__).parent / "as_people_have_them"
BRIEF, THANKED = {"role": "system", "content": "Be brief."}, "8 rows end with words that are not answered"
ASKED, SAID = {"role": "user", "content": "Name a river in Europe."}, {"role": "assistant", "content": "The Danube."}
SUM, TOLD = {"role": "user", "content": "What is 0 plus 2?"}, {"role": "assistant", "content": "It is 2."}
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 0, "b": 2}}}
NUMBERS = {"a": {"type": "number"}, "b": {"type": "number"}}
ADD = {
    "name": "add",
    "description": "Adds two numbers",
    "parameters": {"type": "object", "properties": NUMBERS, "required": ["a", "b"]},
}
TOOLS = [{"type": "function", "function": ADD}]
SOLUTION = "He has 0 + 1 marbles.\n#### 1"


def called(words: str, *, with_id: bool = True) -> list[Any]:
    call, result = ({**CALL, "id": "c0"}, {"tool_call_id": "c0"}) if with_id else (CALL, {})
    return [
        SUM,
        {"role": "assistant", "content": words, "tool_calls": [call]},
        {"role": "tool", "content": "2", **result},
        TOLD,
    ]


READ: list[tuple[str, MethodType, dict[str, Any], str]] = [
    (
        "alpaca_history.jsonl",
        MethodType.SFT,
        {
            "messages": [
                ASKED,
                SAID,
                {"role": "user", "content": "And in French?"},
                {"role": "assistant", "content": "Bonjour."},
            ]
        },
        "",
    ),
    ("boxed_answers.jsonl", MethodType.GRPO, {"prompt": "What is half of 1?", "answer": r"\frac{1}{2}"}, ""),
    ("folder_with_valid_and_test", MethodType.SFT, {"messages": [ASKED, SAID]}, "The file valid.jsonl is not used"),
    (
        "kto_labels_0_1.jsonl",
        MethodType.KTO,
        {"prompt": ASKED["content"], "completion": SAID["content"], "label": False},
        "",
    ),
    ("openai_content_parts.jsonl", MethodType.SFT, {"messages": [ASKED, SAID]}, ""),
    ("openai_role_developer.jsonl", MethodType.SFT, {"messages": [BRIEF, ASKED, SAID]}, ""),
    (
        "openai_tool_calls_beside_text.jsonl",
        MethodType.SFT,
        {"messages": called("Let me look."), "tools": TOOLS},
        "",
    ),
    ("openai_tool_calls_content_null.jsonl", MethodType.SFT, {"messages": called(""), "tools": TOOLS}, ""),
    (
        "openai_weight_zero.jsonl",
        MethodType.SFT,
        {
            "messages": [
                ASKED,
                {"role": "assistant", "content": "WRONG", "weight": 0},
                {"role": "user", "content": "Again, please."},
                SAID,
            ]
        },
        "",
    ),
    (
        "preference_question_system.jsonl",
        MethodType.DPO,
        {
            "prompt": [BRIEF, ASKED],
            "chosen": [SAID],
            "rejected": [{"role": "assistant", "content": "I will not say."}],
        },
        "",
    ),
    ("question_answer.jsonl", MethodType.GRPO, {"prompt": [ASKED], "answer": "The Danube."}, ""),
    ("sharegpt_ends_with_human.jsonl", MethodType.SFT, {"messages": [ASKED, SAID]}, THANKED),
    (
        "sharegpt_function_call.jsonl",
        MethodType.SFT,
        {"messages": called("", with_id=False), "tools": TOOLS},
        "",
    ),
    (
        "solution_ends_in_hashes.jsonl",
        MethodType.SFT,
        {
            "prompt": [{"role": "user", "content": "Tom has 0 marbles and buys 1 more. How many has he?"}],
            "completion": [{"role": "assistant", "content": SOLUTION}],
            "answer": "1",
        },
        "",
    ),
    (
        "thinking_field.jsonl",
        MethodType.SFT,
        {"messages": [ASKED, {**SAID, "reasoning_content": "They ask: Name a river in Europe."}]},
        "",
    ),
]


@pytest.mark.parametrize(("file", "kind", "row", "told"), READ)
def test_a_file_is_read_in_whole(file: str, kind: MethodType, row: dict[str, Any], told: str) -> None:
    dataset = Datasets(FILES).load(str(FILES / file), seed=0)

    assert row in [*dataset.rows, *dataset.held_out]
    assert len(dataset.rows) + len(dataset.held_out) == (7 if told.startswith("The file") else 8)
    must_take("it", [kind], dataset.rows)
    assert len(dataset.remarks) == bool(told)
    assert all(remark.startswith(told) for remark in dataset.remarks)


def test_every_file_is_among_these() -> None:
    assert {file.name for file in FILES.iterdir()} == {file for file, *_ in READ} | {"lone_surrogate.jsonl"}


def test_half_a_character_is_refused_with_its_row() -> None:
    with pytest.raises(InvalidDataset, match=r"row 1, column 'messages': \\ud800 is half a character"):
        Datasets(FILES).load(str(FILES / "lone_surrogate.jsonl"), seed=0)


@pytest.mark.parametrize(
    ("file", "way_out"),
    [
        ("question_answer.jsonl", "question=question, completion=answer"),
        ("boxed_answers.jsonl", "prompt=prompt, completion=answer"),
        ("preference_question_system.jsonl", "question=question, completion=chosen"),
    ],
)
def test_what_is_no_demonstration_is_refused_with_columns_by_which_it_is_one(file: str, way_out: str) -> None:
    datasets = Datasets(FILES)
    dataset = datasets.load(str(FILES / file), seed=0)

    with pytest.raises(InvalidDataset, match="they are demonstrations") as refused:
        must_take("sft", [MethodType.SFT], dataset.rows, as_demonstrations=dataset.as_demonstrations)

    assert refused.value.columns == way_out
    must_take("sft", [MethodType.SFT], datasets.load(str(FILES / file), seed=0, columns=way_out).rows)
