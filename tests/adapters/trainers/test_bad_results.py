"""A bad result is a failed run, whatever library trained."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from adapters.trainers import bad_results
from domain.errors import BadResult


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["loss", "grad_norm", "reward"])
def test_a_metric_that_is_not_finite_ends_the_run_and_is_not_reported(name: str, value: float, hearing: Any) -> None:
    heard = hearing()
    watched = bad_results.WatchedProgress(heard)
    metrics: Mapping[str, float] = {"learning_rate": 0.1, name: value}

    watched.step(1, 3, {"loss": 1.0})
    with pytest.raises(BadResult, match=f"{name} was {value} at step 2 of 3"):
        watched.step(2, 3, metrics)

    assert [step for step, _, _ in heard.told] == [1]


def test_a_run_without_a_step_is_no_run() -> None:
    bad_results.must_have_taken_steps(1)
    with pytest.raises(BadResult, match="No optimiser step"):
        bad_results.must_have_taken_steps(0)


def test_weights_must_change() -> None:
    bad_results.must_have_changed([1.0], [1.5])
    with pytest.raises(BadResult, match="single weight"):
        bad_results.must_have_changed([1.0], [1.0])


def test_rewards_must_tell_answers_apart_at_least_once() -> None:
    bad_results.rewards_must_have_varied([0.0, 0.2, 0.0])
    with pytest.raises(BadResult, match="never varied"):
        bad_results.rewards_must_have_varied([0.0, 0.0])


def test_some_answer_must_come_to_its_end() -> None:
    bad_results.must_have_ended_sometimes([1.0, 0.9])
    with pytest.raises(BadResult, match="max_completion_length"):
        bad_results.must_have_ended_sometimes([1.0, 1.0])


def test_some_token_must_be_left_to_learn() -> None:
    bad_results.some_must_be_learned([0, 3], max_length=8)
    with pytest.raises(BadResult, match="At 8 tokens"):
        bad_results.some_must_be_learned([0, 0], max_length=8)
