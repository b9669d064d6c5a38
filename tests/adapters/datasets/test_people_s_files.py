"""Rows in the shapes in which people have them are read whole, or refused with what would be read."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.datasets import Datasets
from adapters.datasets.files.raw_rows import RawRow
from adapters.datasets.rows import normalised
from domain.errors import InvalidDataset
from domain.ports import Dataset
from infra import samples

SAMPLES = Path(samples.__file__).parent
SYSTEM = {"role": "system", "content": "Be brief."}
ASKED, SAID, WRONG = (
    {"role": role, "content": content} for role, content in (("user", "1+1="), ("assistant", "2"), ("assistant", "3"))
)
HUMAN, GPT = {"from": "human", "value": "1+1="}, {"from": "gpt", "value": "2"}
ADD = {"name": "add", "arguments": {"a": 1, "b": 1}}
CALLING = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": ADD}]}


def row(**fields: Any) -> dict[str, Any]:
    return normalised([RawRow("mine.jsonl, row 1", fields)])[0].fields


def loaded(folder: Path, rows: Sequence[Mapping[str, Any]], columns: str = "") -> Dataset:
    file = folder / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Datasets(SAMPLES).load(str(file), seed=0, columns=columns)


def all_rows(dataset: Dataset) -> list[Any]:
    return sorted([*dataset.rows, *dataset.held_out], key=str)


@pytest.mark.parametrize(
    ("message", "read"),
    [
        ({"role": "user", "content": [{"type": "text", "text": "1+"}, {"type": "text", "text": "1="}]}, ASKED),
        ({"role": "user", "content": ["1+", "1="]}, ASKED),
        ({"role": "user", "content": {"type": "text", "text": "1+1="}}, ASKED),
        ({"role": "user", "parts": [{"text": "1+1="}]}, ASKED),
        ({"role": "human", "text": "1+1="}, ASKED),
        ({"speaker": "user", "value": "1+1="}, ASKED),
        ({"from": "Human", "content": "1+1="}, ASKED),
        ({"role": "developer", "content": "Be brief."}, SYSTEM),
        ({"role": "assistant", "content": None, "refusal": "2"}, SAID),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "2"}], "refusal": None}, SAID),
        (
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "1"}, {"type": "text", "text": "2"}]},
            SAID | {"thinking": "1"},
        ),
        (
            {"role": "assistant", "content": [{"type": "reasoning", "text": ["1"]}, {"type": "text", "text": "2"}]},
            SAID | {"thinking": "1"},
        ),
        ({"role": "model", "content": "2"}, SAID),
        ({"from": "chatgpt", "value": "2"}, SAID),
        ({"from": "Claude", "value": "2"}, SAID),
        ({"from": "observation", "value": "2"}, {"role": "tool", "content": "2"}),
        ({"from": "observation", "value": {"sum": [2]}}, {"role": "tool", "content": '{"sum": [2]}'}),
        ({"role": "tool", "content": [1, 2]}, {"role": "tool", "content": "[1, 2]"}),
        ({"role": "tool", "content": None}, {"role": "tool", "content": ""}),
        ({"role": "tool", "content": [{"type": "text", "text": "2"}]}, {"role": "tool", "content": "2"}),
        ({"from": "function-call", "value": ADD}, CALLING),
        ({"from": "function_call", "value": json.dumps(ADD)}, CALLING),
        ({"from": "function_call", "value": json.dumps([ADD])}, CALLING),
        ({"role": "assistant", "content": None, "tool_calls": [{"function": ADD}]}, CALLING),
        ({"role": "assistant", "tool_calls": [{"function": ADD}]}, CALLING),
        ({"role": "assistant", "content": None, "function_call": ADD}, CALLING),
        ({"role": "function", "name": "add", "content": "2"}, {"role": "tool", "content": "2", "name": "add"}),
    ],
)
def test_messages_of_other_tools_are_read_in_our_roles_and_fields(
    message: dict[str, Any], read: dict[str, Any]
) -> None:
    assert row(messages=[message, SAID]) == {"messages": [read, SAID]}


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ({"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}, "part 1, of type 'image_url'"),
        ({"role": "user", "content": [["1+1="]]}, "part 1, a list: models are trained on text here"),
        ({"role": "assistant", "content": [{"type": "tool_use", "name": "add"}]}, "Write calls as tool_calls"),
        ({"role": "user", "content": [{"type": "tool_result", "content": "2"}]}, "with the role tool"),
        ({"role": "user", "content": []}, "message 1: content must be text, not a list"),
        ({"role": "assistant", "content": None}, "message 1: content must be text, not null"),
        ({"from": "function_call", "value": "add(1, 1)"}, "message 1 must hold a call as JSON"),
    ],
)
def test_messages_that_cannot_be_read_are_refused_with_row_and_message(message: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidDataset, match=f"mine.jsonl, row 1, column 'messages': .*{complaint}"):
        row(messages=[message, SAID])


def test_tools_may_be_functions_alone() -> None:
    alone = {"name": "add", "description": "Adds", "parameters": {"type": "object"}}

    assert row(conversations=[HUMAN, GPT], tools=json.dumps([alone])) == {
        "messages": [ASKED, SAID],
        "tools": [{"type": "function", "function": alone}],
    }
    assert row(conversations=[HUMAN, GPT], tools="[]") == {"messages": [ASKED, SAID]}


def test_a_conversation_ends_with_its_last_answer_and_the_rest_is_told(tmp_path: Path) -> None:
    rows = [{"conversations": [{**HUMAN, "value": f"{n}+1="}, GPT, {**HUMAN, "value": "Thanks!"}]} for n in range(3)]

    dataset = loaded(tmp_path, rows)

    assert all(row["messages"][1:] == [SAID] for row in all_rows(dataset))
    assert dataset.remarks == (
        "3 rows end with words that are not answered (mine.jsonl, row 1): these words are left out.",
    )


def test_a_conversation_that_the_model_is_to_answer_is_a_prompt_by_its_column(tmp_path: Path) -> None:
    rows = [{"conversations": [{**HUMAN, "value": f"{n}+1="}]} for n in range(3)]

    with pytest.raises(InvalidDataset, match='--columns "prompt=conversations"'):
        loaded(tmp_path, rows)
    dataset = loaded(tmp_path, rows, "prompt=conversations")

    assert all_rows(dataset) == [{"prompt": [{**ASKED, "content": f"{n}+1="}]} for n in range(3)]


def test_a_conversation_may_begin_with_the_assistant() -> None:
    hello = {"role": "assistant", "content": "How can I help?"}

    assert row(messages=[hello, ASKED, SAID]) == {"messages": [hello, ASKED, SAID]}
    assert row(messages=[hello]) == {"messages": [hello]}


@pytest.mark.parametrize(
    ("names", "read", "told"),
    [
        (("prompt", "response"), {"prompt": "1+1=", "completion": "2"}, "prompt=prompt, completion=response"),
        (("query", "response"), {"prompt": [ASKED], "completion": [SAID]}, "question=query, completion=response"),
        (("question", "solution"), {"prompt": [ASKED], "completion": [SAID]}, "question=question, completion=solution"),
        (("input", "output"), {"prompt": [ASKED], "completion": [SAID]}, "question=input, completion=output"),
        (("Instruction", "Response"), {"prompt": [ASKED], "completion": [SAID]}, "question=Instruction, completion=Re"),
        (("query", "answer"), {"prompt": [ASKED], "answer": "2"}, "question=query, answer=answer"),
        (("prompt", "ground_truth"), {"prompt": "1+1=", "answer": "2"}, "prompt=prompt, answer=ground_truth"),
    ],
)
def test_columns_with_other_names_that_mean_one_thing_are_read_and_told(
    tmp_path: Path, names: tuple[str, str], read: dict[str, Any], told: str
) -> None:
    dataset = loaded(tmp_path, [dict(zip(names, said, strict=True)) for said in (("1+1=", "2"), ("0+1=", "1"))])

    assert read in all_rows(dataset)
    (remark,) = dataset.remarks
    assert f'are read as with --columns "{told}' in remark


def test_dollys_context_goes_with_the_instruction(tmp_path: Path) -> None:
    rows = [{"instruction": "Add", "context": f"{n}+1=", "response": str(n + 1), "category": "sum"} for n in range(2)]

    dataset = loaded(tmp_path, rows)

    assert all_rows(dataset)[0]["messages"][0]["content"] == "Add\n\n0+1="
    assert "instruction=instruction, input=context, output=response" in dataset.remarks[0]


@pytest.mark.parametrize(
    ("fields", "columns"),
    [
        ({"question": "1+1=", "query": "?", "response": "2"}, "question=question, completion=response"),
        ({"query": "1+1=", "response": "2", "solution": "2"}, "question=query, completion=response"),
        ({"query": "?", "question": "1+1=", "chosen_response": "2", "rejected_response": "3"}, "chosen=chosen_resp"),
        ({"dialogue": [ASKED, SAID]}, "messages=dialogue"),
        ({"a": 1}, "prompt=NAME, completion=NAME"),
    ],
)
def test_columns_that_may_mean_several_things_are_refused_with_what_would_be_read(
    tmp_path: Path, fields: dict[str, Any], columns: str
) -> None:
    with pytest.raises(InvalidDataset, match="none of the usual shapes") as refused:
        loaded(tmp_path, [fields, fields])

    told = str(refused.value).partition("--columns ")[2].split('"')[1]
    assert told.startswith(columns)
    if "NAME" not in told:
        with pytest.raises(InvalidDataset, match="one question only"):  # it was read
            loaded(tmp_path, [fields, fields], told)


PAIR = {"prompt": [ASKED], "chosen": [SAID], "rejected": [WRONG]}
WITH_SYSTEM = PAIR | {"prompt": [SYSTEM, ASKED]}


@pytest.mark.parametrize(
    ("fields", "read"),
    [
        ({"prompt": "1+1=", "chosen": [ASKED, SAID], "rejected": [ASKED, WRONG]}, PAIR),
        ({"prompt": " 1+1=\n", "chosen": [ASKED, SAID], "rejected": [ASKED, WRONG]}, PAIR | {"prompt": None}),
        ({"prompt": [ASKED], "chosen": [ASKED, SAID], "rejected": [ASKED, WRONG]}, PAIR),
        ({"prompt": "1+1=", "chosen": [SYSTEM, ASKED, SAID], "rejected": [SYSTEM, ASKED, WRONG]}, WITH_SYSTEM),
        ({"prompt": [SYSTEM, ASKED], "chosen": [ASKED, SAID], "rejected": [ASKED, WRONG]}, WITH_SYSTEM),
        ({"prompt": [SYSTEM], "chosen": [ASKED, SAID], "rejected": [ASKED, WRONG]}, WITH_SYSTEM),
        ({"prompt": "1+1=", "chosen": [ASKED, SAID], "rejected": "3"}, PAIR),
        ({"question": "1+1=", "chosen": "2", "rejected": "3"}, PAIR),
        ({"question": "1+1=", "system": "Be brief.", "chosen": "2", "rejected": "3"}, WITH_SYSTEM),
        ({"prompt": "1+1=", "system": "Be brief.", "chosen": "2", "rejected": "3"}, WITH_SYSTEM),
        ({"instruction": "1+1=", "input": "", "chosen": "2", "rejected": "3"}, PAIR),
        ({"conversations": [HUMAN], "chosen": GPT, "rejected": {**GPT, "value": "3"}}, PAIR),
        ({"system": "Be brief.", "chosen": [ASKED, SAID], "rejected": [ASKED, WRONG]}, WITH_SYSTEM),
        (
            {"chosen": "\n\nHuman: 1+1=\n\nAssistant: 2", "rejected": "\n\nHuman: 1+1=\n\nAssistant: 3"},
            PAIR,
        ),
        (
            {"chosen": "The sky is blue.", "rejected": "The sky is black."},
            {"prompt": "The sky is", "chosen": " blue.", "rejected": " black."},
        ),
        ({"input": {"messages": [ASKED]}, "preferred_output": [SAID], "non_preferred_output": [WRONG]}, PAIR),
    ],
)
def test_preferences_are_a_prompt_once_and_two_answers(fields: dict[str, Any], read: dict[str, Any]) -> None:
    found = row(**fields)

    if read["prompt"] is None:  # as it was written
        assert found["prompt"][0]["content"].strip() == "1+1="
        read = read | {"prompt": found["prompt"]}
    assert found == read


def test_answers_to_something_else_than_the_prompt_are_refused() -> None:
    other = {"role": "user", "content": "2+2="}

    with pytest.raises(InvalidDataset, match=r"column 'chosen': .* does not begin with what is in the prompt"):
        row(prompt="1+1=", chosen=[other, SAID], rejected=[other, WRONG])


@pytest.mark.parametrize("prompt", ["1+1=", [ASKED]])
def test_a_completion_that_is_the_whole_conversation_is_read_behind_its_prompt(prompt: Any) -> None:
    assert row(prompt=prompt, completion=[ASKED, SAID]) == {"prompt": [ASKED], "completion": [SAID]}
    assert row(prompt=prompt, completion=[SYSTEM, ASKED, SAID], label=True) == {
        "prompt": [SYSTEM, ASKED],
        "completion": [SAID],
        "label": True,
    }


@pytest.mark.parametrize("label", [True, 1, 1.0])
@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [ASKED, SAID]},
        {"conversations": [HUMAN, GPT]},
        {"instruction": "1+1=", "output": "2"},
        {"prompt": [ASKED], "completion": "2"},
    ],
)
def test_answers_with_a_label_are_judged_and_not_learned_as_they_are(fields: dict[str, Any], label: Any) -> None:
    assert row(**fields, label=label) == {"prompt": [ASKED], "completion": [SAID], "label": True}
    assert row(**fields, label=0)["label"] is False


def test_a_label_that_judges_nothing_is_no_judgement() -> None:
    assert row(messages=[ASKED, SAID], label="sums")["messages"] == [ASKED, SAID]
    assert row(text="1+1=2", label=1) == {"text": "1+1=2", "label": 1}


def test_a_label_that_comes_later_is_not_overlooked(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"row 2, column 'label': .* the first row has none"):
        loaded(tmp_path, [{"messages": [ASKED, SAID]}, {"messages": [ASKED, WRONG], "label": False}])


@pytest.mark.parametrize("fields", [{"prompt": "1+1="}, {"question": "1+1="}])
def test_a_system_stands_before_what_is_asked(fields: dict[str, Any]) -> None:
    assert row(**fields, answer="2", system="Be brief.") == {"prompt": [SYSTEM, ASKED], "answer": "2"}
    assert row(**fields, completion="2", system="Be brief.") == {"prompt": [SYSTEM, ASKED], "completion": [SAID]}


def test_a_column_of_nulls_is_as_good_as_none() -> None:
    nulls = dict.fromkeys(("chosen", "rejected", "messages", "label", "system", "level"))

    assert row(prompt="1+1=", completion="2", **nulls) == {"prompt": "1+1=", "completion": "2"}


def test_rows_that_are_no_demonstrations_say_how_they_would_be_read_as_such(tmp_path: Path) -> None:
    rows = [{"q": f"{n}+1=", "a": n + 1} for n in range(3)]
    dataset = loaded(tmp_path, rows, "question=q, answer=a")

    assert dataset.as_demonstrations == "question=q, completion=a"
    assert all_rows(loaded(tmp_path, rows, dataset.as_demonstrations))[0] == {
        "prompt": [{**ASKED, "content": "0+1="}],
        "completion": [{**SAID, "content": "1"}],
    }


@pytest.mark.parametrize(
    "sides",
    [
        {"chosen": [ASKED, SAID], "rejected": [ASKED, WRONG]},
        {"chosen": "The sky is blue.", "rejected": "The sky is black."},
        {"prompt": "1+1=", "chosen": [ASKED, SAID], "rejected": [ASKED, WRONG]},
    ],
)
def test_chosen_answers_can_be_learned_by_the_columns_that_are_told(tmp_path: Path, sides: dict[str, Any]) -> None:
    other = json.loads(json.dumps(sides).replace("1+1", "2+2").replace("sky", "sea"))

    told = loaded(tmp_path, [sides, other]).as_demonstrations

    learned = all_rows(loaded(tmp_path, [sides, other], told))
    assert all({"messages"} <= row.keys() or {"completion"} <= row.keys() or "text" in row for row in learned)
