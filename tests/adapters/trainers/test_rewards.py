"""Named rewards, their weights, and how they are written."""

import json
import subprocess
import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.trainers import patterns
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
        ('json_schema({"pattern": "^a+$"})=1', '"aaa"', 1.0),
        ('json_schema({"pattern": "^a+$"})=1', '"aab"', 0.0),
        ('json_schema({"pattern": "^a+$"})=1', "3", 1.0),
        ('json_schema({"type": "array"})=1', "[" * 100_000, 0.0),
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
        (f'regex("{"a" * 1001}")=1', "at most 1,000"),
        ('regex("(?R)")=1', "a pattern that cannot be used"),
        ('json_schema({"type": 3})=1', "a schema that cannot be used"),
        ('json_schema({"pattern": "("})=1', "that cannot be used"),
        ('json_schema({"patternProperties": {"a": {}}})=1', "takes no patternProperties"),
        ('json_schema({"$ref": "#"})=1', "leads nowhere"),
        ('json_schema({"$ref": "http://127.0.0.1:9/schema"})=1', "leads nowhere"),
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


ENDLESS = [r"(a|aa)+$", r"^(.*?,){25}P", r"(ab|a|b)+$", r"^(\d|\d\d)+-$", r"(x|xx|xxx)*y$"]


@pytest.mark.parametrize("pattern", ENDLESS)
@pytest.mark.parametrize("reward", ["regex({})=1", 'json_schema({{"anyOf": [{{"pattern": {}}}]}})=1'])
def test_a_pattern_that_never_ends_is_refused_before_the_start_by_its_name(pattern: str, reward: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_rewards(reward.format(json.dumps(pattern)))
    assert repr(pattern) in str(refused.value)
    assert "repetition inside a repetition" in str(refused.value)


@pytest.mark.parametrize("reward", ["regex({})=1", 'json_schema({{"pattern": {}}})=1'])
def test_a_search_that_takes_too_long_all_the_same_ends_the_run(reward: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_hard_for", lambda _: ())
    rewards = parse_rewards(reward.format(json.dumps(ENDLESS[0])))
    with pytest.raises(InvalidInput, match="in a text of 61 characters"):
        rewards.score([""], [json.dumps("a" * 60 + "!") if "json" in reward else "a" * 60 + "!"], [ROW])


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[0-9]+$",
        r"<answer>(.*?)</answer>",
        r"^<think>.*</think>\s*<answer>.*</answer>$",
        r"\b(yes|no)\b",
        r"(\d+,)*\d+",
    ],
)
def test_a_pattern_as_people_write_them_is_taken(pattern: str) -> None:
    assert parse_rewards(f"regex({json.dumps(pattern)})=1").parts == ("regex",)


@given(st.from_regex(r"(\(?[ab.]\)?[*+?|]{0,2}){1,6}"))
def test_whatever_pattern_is_written_is_taken_or_refused(pattern: str) -> None:
    with suppress(InvalidInput):
        parse_rewards(f"regex({json.dumps(pattern)})=1").score([""], ["abab" * 20], [ROW])
