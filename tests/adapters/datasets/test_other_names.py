"""Columns that people call otherwise are read where they mean one thing, or refused with what would be read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from adapters.datasets import Datasets
from domain.errors import InvalidDataset
from domain.ports import Dataset

ASKED, SAID = {"role": "user", "content": "1+1="}, {"role": "assistant", "content": "2"}
WRONG, SYSTEM = {"role": "assistant", "content": "3"}, {"role": "system", "content": "Be brief."}
BEFORE = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hi."}]
ADD = {"name": "add", "parameters": {"type": "object"}}
DEMONSTRATED = {"prompt": [ASKED], "completion": [SAID]}
WITH_TOOLS = {"messages": [ASKED, SAID], "tools": [{"type": "function", "function": ADD}]}
PAIR = {"prompt": [ASKED], "chosen": [SAID], "rejected": [WRONG]}


def loaded(folder: Path, fields: Mapping[str, Any], columns: str = "") -> tuple[Any, Dataset]:
    """How a row is read, in a file of two."""
    other = json.loads(json.dumps(fields).replace("1+1=", "0+1="))
    (folder / "mine.jsonl").write_text(json.dumps(fields) + "\n" + json.dumps(other) + "\n")
    dataset = Datasets(folder / "none").load(str(folder / "mine.jsonl"), seed=0, columns=columns)
    return next(row for row in (*dataset.rows, *dataset.held_out) if "1+1=" in str(row)), dataset


@pytest.mark.parametrize(
    ("fields", "read", "told"),
    [
        (
            {"messages": [ASKED, SAID], "system_prompt": "Be brief."},
            {"messages": [SYSTEM, ASKED, SAID]},
            "system=system_prompt",
        ),
        ({"query": "1+1=", "response": "2", "System": None}, DEMONSTRATED, "question=query, completion=response"),
        ({"messages": [ASKED, SAID], "functions": [ADD]}, WITH_TOOLS, "tools=functions"),
        ({"messages": [ASKED, SAID], "kto_tag": True}, DEMONSTRATED | {"label": True}, "label=kto_tag"),
        ({"question": "1+1=", "answer": "2", "label": False}, DEMONSTRATED | {"label": False}, "completion=answer"),
        ({"problem": "1+1=", "chosen": "2", "rejected": "3"}, PAIR, "question=problem, chosen=chosen, rejected"),
        ({"messages": [ASKED, SAID], "rejected_response": "3"}, PAIR, "chosen=messages, rejected=rejected_response"),
        ({"messages": [ASKED, SAID], "rejected_messages": [ASKED, WRONG]}, PAIR, "chosen=messages, rejected=rejected_"),
        (
            {"question": "1+1=", "response": "2", "label": True},
            DEMONSTRATED | {"label": True},
            "question=question, completion=response",
        ),
    ],
)
def test_columns_beside_a_shape_are_read_by_their_other_names_and_told(
    tmp_path: Path, fields: dict[str, Any], read: dict[str, Any], told: str
) -> None:
    row, dataset = loaded(tmp_path, fields)

    assert row == read
    (remark,) = dataset.remarks
    assert f'--columns "{told}' in remark
    given = remark.partition('--columns "')[2].partition('"')[0]
    assert loaded(tmp_path, fields, given)[0] == read


@pytest.mark.parametrize(
    ("fields", "way_out", "read"),
    [
        ({"q": "1+1=", "a": "2"}, "question=q, completion=a", {"prompt": [ASKED], "completion": [SAID]}),
        ({"human": "1+1=", "bot": "2"}, "question=human, completion=bot", {"prompt": [ASKED], "completion": [SAID]}),
        ({"story": "1+1=", "year": 1}, "text=story", {"text": "1+1=", "year": 1}),
        ({"question": "1+1="}, "prompt=question", {"prompt": "1+1="}),
        ({"conversation": [{"input": "1+1=", "output": "2"}]}, "messages=conversation", {"messages": [ASKED, SAID]}),
        ({"turns": [["1+1=", "2"]]}, "messages=turns", {"messages": [ASKED, SAID]}),
        (
            {"contents": [{"role": "user", "parts": [{"text": "1+1="}]}, {"role": "model", "parts": [{"text": "2"}]}]},
            "messages=contents",
            {"messages": [ASKED, SAID]},
        ),
    ],
)
def test_the_way_out_that_a_refusal_names_is_one(
    tmp_path: Path, fields: dict[str, Any], way_out: str, read: dict[str, Any]
) -> None:
    with pytest.raises(InvalidDataset, match="none of the usual shapes") as refused:
        loaded(tmp_path, fields)

    assert refused.value.columns == way_out
    assert loaded(tmp_path, fields, way_out)[0] == read


@pytest.mark.parametrize("fields", [{"a": [1], "b": "x"}, {"a": "x", "b": "y", "c": "z"}, {"data": ["1+1=", "2"]}])
def test_a_refusal_names_no_way_out_that_is_none(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidDataset, match="Say which column is which") as refused:
        loaded(tmp_path, fields)

    assert not refused.value.columns


@pytest.mark.parametrize(
    "history",
    [
        [["Hello?", "Hi."]],
        json.dumps([["Hello?", "Hi."]]),
        [{"instruction": "Hello?", "output": "Hi."}],
        [{"user": "Hello?", "assistant": "Hi."}],
        BEFORE,
    ],
)
@pytest.mark.parametrize(
    ("fields", "asked", "answered"),
    [
        ({"prompt": "1+1=", "completion": "2"}, "prompt", {"completion": [SAID]}),
        ({"query": "1+1=", "response": "2"}, "prompt", {"completion": [SAID]}),
        ({"question": "1+1=", "answer": "2"}, "prompt", {"answer": "2"}),
        ({"question": "1+1=", "chosen": "2", "rejected": "3"}, "prompt", {"chosen": [SAID], "rejected": [WRONG]}),
        ({"prompt": "1+1=", "completion": "2", "label": True}, "prompt", {"completion": [SAID], "label": True}),
        ({"instruction": "1+1=", "output": "2"}, "messages", {}),
    ],
)
def test_earlier_turns_stand_before_what_is_asked(
    tmp_path: Path, fields: dict[str, Any], asked: str, answered: dict[str, Any], history: Any
) -> None:
    row, _ = loaded(tmp_path, {**fields, "history": history, "system": "Be brief."})

    assert row == {asked: [SYSTEM, *BEFORE, ASKED, *([SAID] if asked == "messages" else [])]} | answered


def test_a_text_that_is_no_earlier_turns_is_another_column(tmp_path: Path) -> None:
    row, _ = loaded(tmp_path, {"question": "1+1=", "answer": "2", "history": "of 1789"})

    assert row == {"prompt": [ASKED], "answer": "2", "history": "of 1789"}
    assert "history" not in loaded(tmp_path, {"instruction": "1+1=", "output": "2", "history": ""})[0]


def test_a_solution_beside_its_answer_is_a_demonstration(tmp_path: Path) -> None:
    row, _ = loaded(tmp_path, {"question": "1+1=", "solution": "One and one.", "answer": 2})

    assert row == {"prompt": [ASKED], "completion": [SAID | {"content": "One and one."}], "answer": "2"}


@pytest.mark.parametrize("column", ["messages", "conversations"])
def test_conversations_may_be_json_in_a_text_in_every_format(tmp_path: Path, column: str) -> None:
    assert loaded(tmp_path, {column: json.dumps([ASKED, SAID])})[0] == {"messages": [ASKED, SAID]}
    assert loaded(tmp_path, {"prompt": json.dumps([ASKED]), "chosen": "2", "rejected": "3"})[0] == PAIR
    with pytest.raises(InvalidDataset, match=r'must be a list of messages, not text: .{"role": "user"'):
        loaded(tmp_path, {column: str([ASKED, SAID])})


@pytest.mark.parametrize(("label", "wanted"), [("true", True), ("0", False), (1, True)])
def test_labels_may_be_text_in_every_format(tmp_path: Path, label: Any, wanted: bool) -> None:
    assert loaded(tmp_path, {"prompt": "1+1=", "completion": "2", "label": label})[0]["label"] is wanted


def test_a_label_of_texts_is_another_column(tmp_path: Path) -> None:
    assert loaded(tmp_path, {"text": "1+1=2", "label": True})[0] == {"text": "1+1=2", "label": True}
