"""What conversations have beside roles and words: thoughts, calls, weights, a system's words, earlier turns."""

import json
from typing import Any

import pytest

from adapters.datasets.files.reading import RawRow
from adapters.datasets.rows import normalised
from domain.errors import InvalidDataset

ASKED, SAID = {"role": "user", "content": "1+1="}, {"role": "assistant", "content": "2"}
PARAMETERS = {"type": "object", "properties": {"a": {"type": "number"}}}
TOOL = {"type": "function", "function": {"name": "add", "description": "Adds", "parameters": PARAMETERS}}


def row(**fields: Any) -> dict[str, Any]:
    return normalised([RawRow("mine.jsonl, row 1", fields)])[0].fields


@pytest.mark.parametrize("field", ["reasoning_content", "thinking", "reasoning"])
def test_thoughts_stay_with_their_message(field: str) -> None:
    thinking = {**SAID, field: "One and one."}

    assert row(messages=[ASKED, thinking]) == {"messages": [ASKED, thinking]}
    assert row(prompt=[ASKED], completion=[thinking])["completion"] == [thinking]


@pytest.mark.parametrize("arguments", [{"a": 1}, '{"a": 1}'], ids=["an object", "JSON in a text"])
@pytest.mark.parametrize("tools", [[TOOL], json.dumps([TOOL])], ids=["a list", "JSON in a text"])
def test_calls_and_tools_are_kept_as_templates_take_them(arguments: Any, tools: Any) -> None:
    call = {"id": "c0", "type": "function", "function": {"name": "add", "arguments": arguments}}
    calling = {"role": "assistant", "content": "Let me see.", "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "c0", "content": "2"}

    kept = row(messages=[ASKED, calling, result, SAID], tools=tools)

    as_object = {"id": "c0", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    assert kept == {"messages": [ASKED, {**calling, "tool_calls": [as_object]}, result, SAID], "tools": [TOOL]}


def test_a_message_may_call_and_say_nothing() -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": {}}}
    calling = {"role": "assistant", "content": "", "tool_calls": [call]}

    assert row(messages=[ASKED, calling])["messages"] == [ASKED, calling]


def test_what_parquet_fills_up_with_nulls_is_not_there() -> None:
    call = {"id": None, "type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": None}}}
    calling = {"role": "assistant", "content": "", "tool_calls": [call], "weight": None, "name": None}

    kept = row(messages=[{**ASKED, "tool_calls": None}, calling])["messages"]

    assert kept[0] == ASKED
    assert kept[1]["tool_calls"] == [{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]
    assert kept[1].keys() == {"role", "content", "tool_calls"}


@pytest.mark.parametrize(
    "left_out", [{"weight": 0}, {"weight": 0.0}, {"train": False}, {"loss": False}, {"trainable": False}]
)
@pytest.mark.parametrize("learned", [{"weight": 1}, {"train": True}, {}])
def test_an_answer_that_is_not_to_be_learned_has_weight_0(left_out: dict[str, Any], learned: dict[str, Any]) -> None:
    kept = row(messages=[ASKED, SAID | left_out, ASKED, SAID | learned])

    assert kept == {"messages": [ASKED, SAID | {"weight": 0}, ASKED, SAID]}


def test_the_system_of_sharegpt_comes_first() -> None:
    said = [{"from": "human", "value": "1+1="}, {"from": "gpt", "value": "2"}]

    assert row(conversations=said, system="Be brief.") == {
        "messages": [{"role": "system", "content": "Be brief."}, ASKED, SAID]
    }
    assert row(conversations=said, system="")["messages"] == [ASKED, SAID]


def test_alpacas_earlier_turns_come_before_the_instruction() -> None:
    kept = row(instruction="1+1=", input="", output="2", system="Be brief.", history=[["Hello?", "Hi."]], source="me")

    assert kept == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello?"},
            {"role": "assistant", "content": "Hi."},
            ASKED,
            SAID,
        ],
        "source": "me",
    }
    assert row(instruction="1+1=", output="2", history=json.dumps([["Hello?", "Hi."]]))["messages"] == [
        *kept["messages"][1:]
    ]
    assert row(instruction="1+1=", output="2", history=[])["messages"] == [ASKED, SAID]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"messages": [ASKED, SAID | {"weight": 0.5}]}, r"message 2 must have weight 0 \(not learned\) or 1"),
        ({"messages": [ASKED, SAID | {"weight": 0}]}, "no answer that is learned"),
        ({"messages": [ASKED, SAID | {"tool_calls": "add"}]}, "message 2 must have a list of calls"),
        ({"messages": [ASKED, SAID | {"tool_calls": [{"function": {}}]}]}, "without the name of a function"),
        (
            {"messages": [ASKED, SAID | {"tool_calls": [{"function": {"name": "add", "arguments": "{"}}]}]},
            "calls add with arguments that are no JSON object",
        ),
        ({"messages": [ASKED, SAID], "tools": "add"}, "column 'tools': must be a list of tools"),
        ({"messages": [{"role": "system", "content": "x"}, ASKED, SAID], "system": "y"}, "Keep one of them"),
        ({"instruction": "1+1=", "output": "2", "history": [["Hello?"]]}, "turn 1 must be two texts"),
        ({"instruction": "1+1=", "output": "2", "history": 3}, "must be a list of earlier turns"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_row(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidDataset, match=r"^mine.jsonl, row 1, column ") as refused:
        row(**fields)
    assert refused.match(said)
