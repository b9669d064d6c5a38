"""Supervised fine-tuning on the small base model."""

from collections.abc import Callable
from typing import Any

import pytest

from adapters.artifacts import hash_of
from adapters.evaluation import evaluate
from adapters.trainers import sft
from domain.errors import BadResult, InvalidConfigurationOptions, InvalidInput
from domain.ports import Device
from domain.training import TrainingJob

pytestmark = pytest.mark.training

Jobs = Callable[..., TrainingJob]
CPU = Device("cpu", "CPU")


def options(**changes: Any) -> sft.Options:
    fields = {"max_steps": 4, "batch_size": 8, "learning_rate": 3e-4, "lr_scheduler_type": "constant", "save_steps": 0}
    return sft.Options(**fields | changes)


def test_the_demo_teaches_the_small_base_model_to_reason_before_it_answers(job: Jobs, hearing: Any) -> None:
    demo, heard = job(), hearing()

    result = sft.train(demo, options(max_steps=60, batch_size=32, warmup_steps=5), heard)

    before = evaluate(demo.base_model, None, demo.held_out, device=CPU, is_adapter=False, seed=0)
    after = evaluate(demo.base_model, result.folder, demo.held_out, device=CPU, is_adapter=False, seed=0)
    assert before.metrics["accuracy"] < 0.4
    assert after.metrics["accuracy"] > 0.8
    assert after.metrics["loss"] < before.metrics["loss"] / 4
    assert result.steps == 60
    assert [step for step, _, _ in heard.told] == list(range(1, 61))
    assert {"loss", "grad_norm", "learning_rate"} <= heard.told[-1][2].keys()


def test_a_lora_adapter_learns_as_well_and_goes_on_top_of_the_base_model(job: Jobs, hearing: Any) -> None:
    demo = job()

    result = sft.train(demo, options(max_steps=40, batch_size=16, learning_rate=2e-3, adapter="lora"), hearing())

    after = evaluate(demo.base_model, result.folder, demo.held_out, device=CPU, is_adapter=True, seed=0)
    assert result.is_adapter
    assert (result.folder / "adapter_model.safetensors").is_file()
    assert after.metrics["accuracy"] > 0.6


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(job: Jobs, hearing: Any) -> None:
    def weights(folder: str, seed: int) -> str:
        return hash_of(sft.train(job(folder=folder, seed=seed), options(), hearing()).folder)

    assert weights("one", 0) == weights("two", 0) != weights("three", 1)


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_a_run_that_was_stopped_goes_on_from_its_checkpoint_to_the_same_weights(
    job: Jobs, hearing: Any, adapter: str
) -> None:
    chosen = options(max_steps=5, save_steps=2, adapter=adapter, lora_dropout=0.1)
    whole = sft.train(job(folder="whole"), chosen, hearing())
    with pytest.raises(KeyboardInterrupt):
        sft.train(job(folder="stopped"), chosen, hearing(stop_after=3))

    heard = hearing()
    resumed = sft.train(job(folder="stopped"), chosen, heard)

    assert [step for step, _, _ in heard.told] == [3, 4, 5]
    assert (resumed.steps, resumed.metrics) == (whole.steps, whole.metrics)
    assert hash_of(resumed.folder) == hash_of(whole.folder)


def test_a_learning_rate_that_breaks_the_model_fails_the_run_and_says_what_to_change(job: Jobs, hearing: Any) -> None:
    with pytest.raises(BadResult, match=r"was (nan|inf) at step .* Lower learning_rate"):
        sft.train(
            job(),
            sft.Options.model_construct(**dict(options(max_steps=20)) | {"learning_rate": 1e6, "max_grad_norm": 0.0}),
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
