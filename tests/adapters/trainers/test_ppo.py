"""`ppo`: reinforcement with a value head, clipped steps and a penalty for leaving the base model."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.evaluation import evaluate
from adapters.trainers.torch.common import torch_steps
from adapters.trainers.torch.ppo import Options
from domain.errors import InvalidConfigurationOptions, InvalidInput
from domain.ports import Device
from domain.training import BadResult
from tests.adapters.trainers.running import SMALL_BASE, Recorded, job, killed, rows, trained, weights

pytestmark = pytest.mark.training

FEW: dict[str, Any] = {
    "max_steps": 2, "batch_size": 4, "mini_batch_size": 2, "max_completion_length": 20, "learning_rate": 1e-3,
    "lr_scheduler_type": "constant", "save_steps": 0, "rewards": "length(14)=1, format=0.2",
}  # fmt: skip


def few_rounds(folder: Path, **options: Any) -> tuple[Any, Recorded]:
    seen = Recorded()
    run = job(folder, rows("grpo-demo", first=40), device="cpu")
    return trained("ppo", run, seen, **(FEW | options)), seen


def test_it_learns_to_reason_before_it_answers_held_out_questions(tmp_path: Path) -> None:
    run = job(tmp_path, rows("grpo-demo", first=600), device="cpu")
    result = trained(
        "ppo", run, max_steps=8, batch_size=64, learning_rate=1e-4, warmup_steps=3, max_completion_length=32,
        lr_scheduler_type="constant", save_steps=0,
    )  # fmt: skip

    held_out = rows("mlx-demo", "held_out", first=100)
    cpu = Device("cpu", "CPU")
    before = evaluate(SMALL_BASE, None, held_out, device=cpu, is_adapter=False, seed=0).metrics
    after = evaluate(SMALL_BASE, result.folder, held_out, device=cpu, is_adapter=False, seed=0).metrics
    assert before["accuracy"] < 0.4
    assert after["accuracy"] > before["accuracy"] + 0.2
    assert after["format"] > before["format"] + 0.2


@pytest.mark.sample("none")
@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_killed_at_any_moment_it_ends_with_the_weights_of_an_uninterrupted_run(tmp_path: Path, adapter: str) -> None:
    data = rows("grpo-demo", first=20)
    options = FEW | {"max_steps": 4, "save_steps": 2, "adapter": adapter, "lora_dropout": 0.1, "weight_decay": 0.1}
    whole = trained("ppo", job(tmp_path / "whole", data, device="cpu"), **options)
    interrupted = job(tmp_path / "interrupted", data, device="cpu")
    killed("ppo", interrupted, at=3, **options)

    seen = Recorded()
    resumed = trained("ppo", interrupted, seen, **options)

    assert len(seen.steps) == 2
    assert weights(resumed) == weights(whole)
    assert (resumed.steps, resumed.metrics) == (whole.steps, whole.metrics)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    one, _ = few_rounds(tmp_path / "one")
    same, _ = few_rounds(tmp_path / "same")
    other = trained("ppo", job(tmp_path / "other", rows("grpo-demo", first=40), seed=1, device="cpu"), **FEW)
    assert weights(one) == weights(same) != weights(other)


def test_generation_settings_that_a_base_model_brings_do_not_bend_what_is_learned(
    tmp_path: Path, plain: tuple[Any, Recorded]
) -> None:
    bent = tmp_path / "bent"
    shutil.copytree(SMALL_BASE, bent)
    settings = bent / "generation_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"repetition_penalty": 9.0, "top_k": 1}))

    run = replace(job(tmp_path / "run", rows("grpo-demo", first=40), device="cpu"), base_model=str(bent))
    seen = Recorded()
    trained("ppo", run, seen, **FEW)

    assert seen.steps == plain[1].steps


# What each option visibly changes.


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Recorded]:
    return few_rounds(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize(
    ("option", "value"),
    [("epsilon_value", 0.001), ("gamma", 0.5), ("lam", 0.0), ("value_coef", 5.0), ("entropy_coef", 1.0),
     ("whiten_rewards", True), ("whiten_advantages", False), ("weight_decay", 0.9), ("max_grad_norm", 1e-3),
     ("dtype", "bfloat16"), ("ppo_epochs", 3), ("mini_batch_size", 4), ("lr_scheduler_type", "linear"),
     ("warmup_steps", 1), ("beta", 5.0), ("batch_size", 6), ("learning_rate", 1e-4), ("rewards", "length(10)=1")],
)  # fmt: skip
def test_the_option_changes_the_weights(
    tmp_path: Path, plain: tuple[Any, Recorded], option: str, value: object
) -> None:
    changed, _ = few_rounds(tmp_path, **{option: value})
    assert weights(changed) != weights(plain[0])


def test_a_round_is_learned_from_as_often_and_in_such_parts_as_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    update = torch_steps.Steps.update

    def counted(self: Any, batch: Any) -> Any:
        sizes.append(len(batch["tokens"]))
        assert batch["weights"].sum() == pytest.approx(1.0, abs=1e-5)
        return update(self, batch)

    monkeypatch.setattr(torch_steps.Steps, "update", counted)
    result, _ = few_rounds(tmp_path, max_steps=1, batch_size=12, mini_batch_size=4, ppo_epochs=2)

    assert sizes == [4] * 6
    assert result.steps == 1


def test_before_anything_is_learned_no_ratio_is_clipped_and_nothing_has_diverged(plain: tuple[Any, Recorded]) -> None:
    _, seen = plain
    assert seen.all("kl")[0] == 0.0
    assert seen.all("kl")[1] != 0.0


def test_the_smaller_epsilon_the_more_tokens_are_held_back(tmp_path: Path, plain: tuple[Any, Recorded]) -> None:
    _, narrow = few_rounds(tmp_path, epsilon=0.001)
    assert narrow.all("clipped")[0] > plain[1].all("clipped")[0]


def test_without_a_penalty_no_reference_is_measured(tmp_path: Path) -> None:
    _, seen = few_rounds(tmp_path, beta=0.0)
    assert "kl" not in seen.steps[0]


def test_a_strong_penalty_keeps_the_policy_near_the_base_model(tmp_path: Path) -> None:
    def divergence(beta: float) -> float:
        _, seen = few_rounds(tmp_path / str(beta), max_steps=6, batch_size=8, learning_rate=2e-4, beta=beta)
        return seen.all("kl")[-1]

    assert divergence(2.0) < divergence(0.001)


def test_a_higher_temperature_draws_more_various_answers(tmp_path: Path, plain: tuple[Any, Recorded]) -> None:
    _, hot = few_rounds(tmp_path, temperature=2.0, max_steps=1)
    assert hot.all("entropy")[0] > plain[1].all("entropy")[0]


def test_each_reward_is_reported_under_its_name(tmp_path: Path) -> None:
    _, seen = few_rounds(tmp_path, rewards='length(1)=2, regex("=")=1', max_steps=1)
    assert {"reward_length", "reward_regex"} < seen.steps[0].keys()


def test_a_trained_reward_model_judges_in_place_of_rewards_or_beside_them(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(SMALL_BASE, num_labels=1)
    model.save_pretrained(tmp_path / "judge")
    AutoTokenizer.from_pretrained(SMALL_BASE).save_pretrained(tmp_path / "judge")
    judge = str(tmp_path / "judge")

    _, alone = few_rounds(tmp_path / "alone", reward_model=judge, rewards="", max_steps=1)
    _, beside = few_rounds(tmp_path / "beside", reward_model=judge, rewards="format=1", max_steps=1)

    assert alone.all("reward") == pytest.approx(alone.all("reward_model"))
    together = np.add(beside.all("reward_model"), beside.all("reward_format"))
    assert beside.all("reward") == pytest.approx(together)


def test_the_adapter_is_what_was_asked_for(tmp_path: Path) -> None:
    result, _ = few_rounds(tmp_path, adapter="lora", lora_rank=4, lora_alpha=6, lora_dropout=0.1)

    config = json.loads((result.folder / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (4, 6, 0.1)
    assert result.is_adapter


def test_checkpoints_are_made_as_often_as_asked(tmp_path: Path) -> None:
    few_rounds(tmp_path, save_steps=1)
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"checkpoint-1", "checkpoint-2"}


@pytest.mark.parametrize("saving", [{"gradient_accumulation_steps": 2}, {"gradient_checkpointing": True}])
def test_saving_memory_leaves_the_result_what_it_is(
    tmp_path: Path, plain: tuple[Any, Recorded], saving: dict[str, Any]
) -> None:
    _, seen = few_rounds(tmp_path, **saving)
    assert seen.all("loss")[0] == pytest.approx(plain[1].all("loss")[0], rel=1e-3)


def test_no_option_is_without_a_test_of_what_it_changes() -> None:
    here = Path(__file__).read_text()
    assert [name for name in Options.model_fields if here.count(name) < 1] == []


# What cannot be believed or taken.


def test_answers_that_all_earn_the_same_are_a_bad_result(tmp_path: Path) -> None:
    with pytest.raises(BadResult, match="rewards never varied among the answers of a round"):
        few_rounds(tmp_path, num_generations=4, top_p=0.01)  # always the likeliest answer


def test_answers_that_are_all_cut_off_are_a_bad_result(tmp_path: Path) -> None:
    with pytest.raises(BadResult, match="Raise max_completion_length"):
        few_rounds(tmp_path, max_completion_length=2)


def test_a_learning_rate_that_breaks_the_model_is_a_bad_result(tmp_path: Path) -> None:
    from adapters.trainers.torch import ppo

    beyond_every_limit = Options(**FEW).model_copy(update={"learning_rate": 1e30})
    with pytest.raises(BadResult, match="Lower learning_rate"):
        ppo.train(job(tmp_path, rows("grpo-demo", first=8), device="cpu"), beyond_every_limit, Recorded())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mini_batch_size": 3}, "multiple of option 'mini_batch_size'"),
        ({"num_generations": 3}, "multiple of option 'num_generations'"),
    ],
)
def test_numbers_that_do_not_divide_are_refused(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidConfigurationOptions, match=told):
        few_rounds(tmp_path, **options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"reward_model": "no/such-model"}, "'reward_model' names 'no/such-model', which cannot be opened"),
        ({"reward_model": SMALL_BASE}, "is no reward model"),
        ({"max_completion_length": 510}, "The prompt of training row 1 has 9 tokens.*lower max_completion_length"),
    ],
)
def test_what_cannot_be_used_is_refused_before_the_start(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        few_rounds(tmp_path, **options)


def test_rows_without_a_prompt_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="ppo takes rows with prompt"):
        trained("ppo", job(tmp_path, rows("mlx-demo", first=4), device="cpu"), **FEW)
