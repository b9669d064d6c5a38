"""GRPO and RLOO on the small base model."""

from collections.abc import Callable
from typing import Any

import pytest

from adapters.artifacts import hash_of
from adapters.evaluation import evaluate
from adapters.trainers import grpo, rloo
from domain.errors import BadResult, InvalidConfigurationOptions, InvalidInput
from domain.ports import Device
from domain.training import TrainingJob

pytestmark = pytest.mark.training

Jobs = Callable[..., TrainingJob]
CPU = Device("cpu", "CPU")

each_trainer = pytest.mark.parametrize("trainer", [grpo, rloo], ids=["grpo", "rloo"])


def options(trainer: Any, **changes: Any) -> Any:
    fields = {
        "max_steps": 3,
        "batch_size": 16,
        "learning_rate": 1e-4,
        "lr_scheduler_type": "constant",
        "max_completion_length": 32,
        "save_steps": 0,
    }
    return trainer.Options(**fields | changes)


@each_trainer
def test_rewarded_answers_become_more_frequent(trainer: Any, job: Jobs, hearing: Any) -> None:
    demo, heard = job("grpo-demo"), hearing()

    result = trainer.train(demo, options(trainer, max_steps=25, batch_size=64, warmup_steps=3), heard)

    before = evaluate(demo.base_model, None, demo.held_out, device=CPU, is_adapter=False, seed=0)
    after = evaluate(demo.base_model, result.folder, demo.held_out, device=CPU, is_adapter=False, seed=0)
    assert before.metrics["accuracy"] < 0.35
    assert after.metrics["accuracy"] > 0.55
    assert {"reward", "reward_std", "reward_exact_answer", "reward_format", "completion_length"} <= heard.told[-1][
        2
    ].keys()


@each_trainer
def test_a_run_that_was_stopped_goes_on_from_its_checkpoint_to_the_same_weights(
    trainer: Any, job: Jobs, hearing: Any
) -> None:
    chosen = options(trainer, max_steps=4, save_steps=2)
    whole = trainer.train(job("grpo-demo", folder="whole"), chosen, hearing())
    with pytest.raises(KeyboardInterrupt):
        trainer.train(job("grpo-demo", folder="stopped"), chosen, hearing(stop_after=3))

    resumed = trainer.train(job("grpo-demo", folder="stopped"), chosen, hearing())

    assert (resumed.steps, resumed.metrics) == (whole.steps, whole.metrics)
    assert hash_of(resumed.folder) == hash_of(whole.folder)


def test_rewards_that_never_vary_fail_the_run(job: Jobs, hearing: Any) -> None:
    with pytest.raises(BadResult, match="never varied"):
        grpo.train(job("grpo-demo"), options(grpo, rewards='regex("")=1'), hearing())


def test_answers_that_are_all_cut_off_fail_the_run(job: Jobs, hearing: Any) -> None:
    with pytest.raises(BadResult, match="max_completion_length"):
        grpo.train(job("grpo-demo"), options(grpo, max_completion_length=2, rewards='regex("1")=1'), hearing())


def test_a_batch_that_is_no_multiple_of_its_groups_is_refused(job: Jobs, hearing: Any) -> None:
    with pytest.raises(InvalidConfigurationOptions, match="multiple of option 'num_generations'"):
        grpo.train(job("grpo-demo"), options(grpo, batch_size=12), hearing())


def test_rows_without_an_answer_are_refused_by_the_reward_that_needs_it(job: Jobs, hearing: Any) -> None:
    bare = job("grpo-demo", rows=[{"prompt": "1+1="}])

    with pytest.raises(InvalidInput, match="'exact_answer' needs the column 'answer'"):
        grpo.train(bare, options(grpo), hearing())
