"""What every trainer has from sft: steps that are told, repeatable weights, and bad results that fail."""

from collections.abc import Callable
from typing import Any

import pytest

from adapters.artifacts.artifact_store import hash_of
from adapters.trainers.torch import sft
from domain.errors import BadResult, InvalidConfigurationOptions, InvalidInput
from domain.training import TrainingJob

pytestmark = pytest.mark.training

Jobs = Callable[..., TrainingJob]


def options(**changes: Any) -> sft.Options:
    fields = {"max_steps": 4, "batch_size": 8, "learning_rate": 3e-4, "lr_scheduler_type": "constant", "save_steps": 0}
    return sft.Options(**fields | changes)


def test_each_step_is_told_with_its_loss_gradient_and_learning_rate(job: Jobs, hearing: Any) -> None:
    heard = hearing()

    result = sft.train(job(), options(lr_scheduler_type="linear", warmup_steps=2), heard)

    assert [(step, total) for step, total, _ in heard.told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [metrics["learning_rate"] for _, _, metrics in heard.told] == pytest.approx([0.0, 1.5e-4, 3e-4, 1.5e-4])
    assert {"loss", "grad_norm", "token_accuracy"} <= heard.told[-1][2].keys()
    assert (result.steps, result.metrics) == (4, heard.told[-1][2])


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(job: Jobs, hearing: Any) -> None:
    def weights(folder: str, seed: int) -> str:
        return hash_of(sft.train(job(folder=folder, seed=seed), options(), hearing()).folder)

    assert weights("one", 0) == weights("two", 0) != weights("three", 1)


def test_a_learning_rate_that_breaks_the_model_fails_the_run_and_says_what_to_change(job: Jobs, hearing: Any) -> None:
    with pytest.raises(BadResult, match=r"was (nan|inf) at step .* Lower learning_rate"):
        sft.train(
            job(),
            sft.Options.model_construct(**dict(options(max_steps=20)) | {"learning_rate": 1e30, "max_grad_norm": 0.0}),
            hearing(),
        )


def test_weights_that_did_not_change_fail_the_run(job: Jobs, hearing: Any) -> None:
    unchanged = sft.Options.model_construct(**dict(options(max_steps=1)) | {"learning_rate": 0.0})

    with pytest.raises(BadResult, match=r"did not change a single weight"):
        sft.train(job(), unchanged, hearing())


def test_rows_that_are_cut_before_the_answer_begins_fail_the_run(job: Jobs, hearing: Any) -> None:
    with pytest.raises(BadResult, match=r"Raise max_length"):
        sft.train(job(), sft.Options.model_construct(**dict(options()) | {"max_length": 3}), hearing())


def test_rows_of_another_kind_are_refused_naming_the_columns(job: Jobs, hearing: Any) -> None:
    with pytest.raises(InvalidInput, match=r"takes rows with messages.*has prompt, answer"):
        sft.train(job("grpo-demo"), options(), hearing())


def test_a_batch_that_does_not_part_evenly_is_refused(job: Jobs, hearing: Any) -> None:
    with pytest.raises(InvalidConfigurationOptions, match=r"'batch_size' .8. must be a multiple"):
        sft.train(job(), options(gradient_accumulation_steps=3), hearing())
