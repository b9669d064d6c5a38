"""What only trainers with rewards can get wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from adapters.trainers.torch import grpo
from domain.errors import BadResult, InvalidConfigurationOptions, InvalidInput
from domain.training import TrainingJob

pytestmark = pytest.mark.training

Jobs = Callable[..., TrainingJob]


def options(**changes: Any) -> grpo.Options:
    fields = {
        "max_steps": 3,
        "batch_size": 16,
        "learning_rate": 1e-4,
        "lr_scheduler_type": "constant",
        "max_completion_length": 32,
        "save_steps": 0,
    }
    return grpo.Options(**fields | changes)


def test_rewards_that_never_vary_fail_the_run(job: Jobs, hearing: Any) -> None:
    with pytest.raises(BadResult, match="never varied"):
        grpo.train(job("grpo-demo"), options(rewards='regex("")=1'), hearing())


def test_answers_that_are_all_cut_off_fail_the_run(job: Jobs, hearing: Any) -> None:
    with pytest.raises(BadResult, match="max_completion_length"):
        grpo.train(job("grpo-demo"), options(max_completion_length=2, rewards='regex("1")=1'), hearing())


def test_a_batch_that_is_no_multiple_of_its_groups_is_refused(job: Jobs, hearing: Any) -> None:
    with pytest.raises(InvalidConfigurationOptions, match="multiple of option 'num_generations'"):
        grpo.train(job("grpo-demo"), options(batch_size=12), hearing())


def test_rows_without_an_answer_are_refused_by_the_reward_that_needs_it(job: Jobs, hearing: Any) -> None:
    bare = job("grpo-demo", rows=[{"prompt": "1+1="}])

    with pytest.raises(InvalidInput, match="'exact_answer' needs the column 'answer'"):
        grpo.train(bare, options(), hearing())
