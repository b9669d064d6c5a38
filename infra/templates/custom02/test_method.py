"""Tests of your own. Run them with: pytest"""

import inspect

from method import Options, reward


def rewarded(said, right):
    if "completions" in inspect.signature(reward).parameters:
        return reward([[{"role": "assistant", "content": said}]], [right])[0]
    return reward(said, right)


def test_the_right_answer_earns_the_most_and_reasoning_a_little():
    assert rewarded("<think>7+8=15</think><answer>85</answer>", "85") == 1.2
    assert rewarded("<answer>85</answer>", "85") == 1.0
    assert rewarded("<think>7+8=15</think><answer>84</answer>", "85") == 0.2
    assert rewarded("85", "85") == 0.0


def test_the_defaults_are_within_their_limits():
    Options.model_validate(Options().model_dump())
