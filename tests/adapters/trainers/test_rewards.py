"""Named rewards, their weights, and how they are written."""

import subprocess
import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.trainers.rewards import parse_rewards
from domain.errors import InvalidInput

RIGHT = "<think>1+1=2</think><answer>2</answer>"
ROW = {"prompt": "1+1=", "answer": "2"}


def score(text: str, said: str) -> float:
    return parse_rewards(text).score([ROW["prompt"]], [said], [ROW])[0]


def test_rewards_are_weighted_and_added_up() -> None:
    rewards = parse_rewards("exact_answer=1, format = 0.25")

    assert rewards.parts == ("exact_answer", "format")
    assert score("exact_answer=1, format = 0.25", RIGHT) == 1.25
    assert score("exact_answer=1, format = 0.25", "<answer>2</answer>") == 1.0
    assert score("exact_answer=-2", RIGHT) == -2.0


@pytest.mark.parametrize(
    ("text", "said", "value"),
    [
        (r'regex("^\\d+$")=1', "42", 1.0),
        (r'regex("^\\d+$")=1', "a 42", 0.0),
        ('regex("a,b=(1)")=0.5', "a,b=1", 0.5),
        ('json_schema({"type": "object", "required": ["a"]})=1', '{"a": 1}', 1.0),
        ('json_schema({"type": "object", "required": ["a"]})=1', '{"b": 1}', 0.0),
        ('json_schema({"type": "object"})=1', "no JSON", 0.0),
        ("length(4)=1", "1234", 1.0),
        ("length(4)=1", "123456", 0.5),
        ("length(4)=1", "123456789", 0.0),
    ],
)
def test_a_reward_with_arguments_says_what_it_is_named_after(text: str, said: str, value: float) -> None:
    assert score(text, said) == value


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "names no reward"),
        ("format=0", "names no reward with a weight"),
        ("kindness=1", "There is no reward 'kindness'"),
        ("format", "the weight of 'format' is missing"),
        ("format=1 exact_answer=1", "separated by commas"),
        ("format=1, format=2", "'format' twice"),
        ("length=1", r"written length\(200\)=1"),
        ('length("4")=1', r"written length\(200\)=1"),
        ("length(0)=1", "at least 1"),
        ("length(x)=1", "must be JSON"),
        ("length(4=1", r"end with \)"),
        ('regex("(")=1', "a pattern that cannot be used"),
        ('json_schema({"type": 3})=1', "a schema that cannot be used"),
        ("format=1, =2", "a reward's name is expected"),
    ],
)
def test_what_cannot_be_read_is_refused_by_naming_the_reward(text: str, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        parse_rewards(text)


@given(st.text(max_size=60))
def test_no_text_is_met_with_anything_but_rewards_or_a_refusal(text: str) -> None:
    with suppress(InvalidInput):
        assert parse_rewards(text).parts


def test_a_reward_that_needs_an_answer_refuses_rows_without_one() -> None:
    rewards = parse_rewards("exact_answer=1")

    rewards.must_fit([ROW])
    with pytest.raises(InvalidInput, match="training row 2"):
        rewards.must_fit([ROW, {"prompt": "1+2="}])


def test_rewards_need_no_machine_learning_library() -> None:
    code = (
        "import adapters.trainers.rewards, sys; sys.exit(bool({'torch', 'mlx', 'transformers'} & sys.modules.keys()))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
