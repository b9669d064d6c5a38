"""`mlx-grpo` and `mlx-ppo`: learning from rewarded answers on MLX."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.trainers.mlx import mlx_grpo, mlx_ppo
from adapters.trainers.mlx.mlx_steps import StepOptions
from domain.errors import InvalidConfigurationOptions, InvalidInput
from domain.training import BadResult
from tests.adapters.trainers.mlx_answers import right_answers
from tests.adapters.trainers.running import Recorded, job, killed, rows, trained, weights

pytestmark = pytest.mark.training

FEW: dict[str, Any] = {
    "max_steps": 2, "batch_size": 4, "max_completion_length": 20, "learning_rate": 1e-3,
    "lr_scheduler_type": "constant", "save_steps": 0, "rewards": "length(14)=1, format=0.2",
}  # fmt: skip
OF_PPO: dict[str, Any] = {"mini_batch_size": 2}
OF_GRPO: dict[str, Any] = {"num_generations": 2}


def few_rounds(trainer: str, folder: Path, **options: Any) -> tuple[Any, Recorded]:
    seen = Recorded()
    own = OF_PPO if trainer == "mlx_ppo" else OF_GRPO
    return trained(trainer, job(folder, rows("grpo-demo", first=40)), seen, **(FEW | own | options)), seen


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Recorded]]:
    return {name: few_rounds(name, tmp_path_factory.mktemp(name)) for name in ("mlx_grpo", "mlx_ppo")}


@pytest.mark.parametrize(
    ("trainer", "options"), [("mlx_grpo", {"max_steps": 8}), ("mlx_ppo", {"max_steps": 6})], ids=["grpo", "ppo"]
)
def test_it_learns_to_answer_held_out_questions(tmp_path: Path, trainer: str, options: dict[str, Any]) -> None:
    run = job(tmp_path, rows("grpo-demo", first=600))
    result = trained(
        trainer, run, batch_size=64, max_completion_length=32, learning_rate=1e-3, warmup_steps=2, save_steps=0,
        lr_scheduler_type="constant", **options,
    )  # fmt: skip

    before, after = right_answers(None), right_answers(result.folder)

    assert before < 0.4
    assert after > before + 0.15


@pytest.mark.sample("mlx_grpo")
@pytest.mark.parametrize("trainer", ["mlx_grpo", "mlx_ppo"])
def test_killed_at_any_moment_it_ends_with_the_weights_of_an_uninterrupted_run(tmp_path: Path, trainer: str) -> None:
    data = rows("grpo-demo", first=20)
    own = OF_PPO if trainer == "mlx_ppo" else OF_GRPO
    options = FEW | own | {"max_steps": 3, "save_steps": 1, "lora_dropout": 0.1, "beta": 0.1}
    whole = trained(trainer, job(tmp_path / "whole", data), **options)
    interrupted = job(tmp_path / "interrupted", data)
    killed(trainer, interrupted, at=3, **options)

    seen = Recorded()
    resumed = trained(trainer, interrupted, seen, **options)

    assert len(seen.steps) == 1
    assert weights(resumed) == weights(whole)
    assert (resumed.steps, resumed.metrics) == (whole.steps, whole.metrics)


@pytest.mark.parametrize("trainer", ["mlx_grpo", "mlx_ppo"])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    tmp_path: Path, plain: dict[str, tuple[Any, Recorded]], trainer: str
) -> None:
    same, _ = few_rounds(trainer, tmp_path / "same")
    own = OF_PPO if trainer == "mlx_ppo" else OF_GRPO
    other = trained(trainer, job(tmp_path / "other", rows("grpo-demo", first=40), seed=1), **(FEW | own))
    assert weights(plain[trainer][0]) == weights(same) != weights(other)


# What each option visibly changes; those that all trainers on MLX share are in test_mlx_lora.py.


@pytest.mark.full  # in the usual run the conformance kit sees it (tests/adapters/custom_code/test_built_in_trainers.py)
@pytest.mark.parametrize(
    ("trainer", "option", "value"),
    [
        ("mlx_grpo", "loss_type", "grpo"),
        ("mlx_grpo", "loss_type", "dr_grpo"),
        ("mlx_grpo", "scale_rewards", "batch"),
        ("mlx_grpo", "scale_rewards", "none"),
        ("mlx_grpo", "num_iterations", 2),
        ("mlx_grpo", "beta", 1.0),
        ("mlx_grpo", "num_generations", 4),
        ("mlx_grpo", "rewards", "length(14)=1, format=0.9"),
        ("mlx_grpo", "top_p", 0.9),
        ("mlx_ppo", "ppo_epochs", 1),
        ("mlx_ppo", "mini_batch_size", 4),
        ("mlx_ppo", "beta", 0.0),
        ("mlx_ppo", "epsilon_value", 0.001),
        ("mlx_ppo", "gamma", 0.5),
        ("mlx_ppo", "lam", 0.0),
        ("mlx_ppo", "value_coef", 5.0),
        ("mlx_ppo", "entropy_coef", 1.0),
        ("mlx_ppo", "whiten_rewards", True),
        ("mlx_ppo", "whiten_advantages", False),
    ],
)
def test_the_option_changes_the_weights(
    tmp_path: Path, plain: dict[str, tuple[Any, Recorded]], trainer: str, option: str, value: object
) -> None:
    changed, seen = few_rounds(trainer, tmp_path, **{option: value})
    assert weights(changed) != weights(plain[trainer][0])
    if option == "beta":
        assert ("kl" in seen.steps[0]) == bool(value)


def test_the_smaller_epsilon_the_more_tokens_are_held_back(
    tmp_path: Path, plain: dict[str, tuple[Any, Recorded]]
) -> None:
    _, narrow = few_rounds("mlx_ppo", tmp_path / "ppo", epsilon=0.001, max_steps=1)
    assert narrow.all("clipped")[0] > plain["mlx_ppo"][1].all("clipped")[0]
    _, narrow = few_rounds("mlx_grpo", tmp_path / "grpo", epsilon=0.001, max_steps=1, num_iterations=2)
    assert narrow.all("clipped")[0] > plain["mlx_grpo"][1].all("clipped")[0] == 0.0


def test_a_higher_temperature_draws_more_various_answers(
    tmp_path: Path, plain: dict[str, tuple[Any, Recorded]]
) -> None:
    _, hot = few_rounds("mlx_grpo", tmp_path, temperature=2.0, max_steps=1)
    assert hot.all("entropy")[0] > plain["mlx_grpo"][1].all("entropy")[0]


@pytest.mark.parametrize("trainer", ["mlx_grpo", "mlx_ppo"])
def test_a_round_computed_in_parts_is_the_same_round(
    tmp_path: Path, plain: dict[str, tuple[Any, Recorded]], trainer: str
) -> None:
    _, seen = few_rounds(trainer, tmp_path, gradient_accumulation_steps=2, max_steps=1)
    assert seen.all("loss")[0] == pytest.approx(plain[trainer][1].all("loss")[0], rel=1e-3)


def test_tokens_weigh_as_their_loss_type_says() -> None:
    mask = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], np.float32)

    def weigh(loss_type: Any) -> Any:
        return mlx_grpo.token_weights(mask, mlx_grpo.Options(loss_type=loss_type, max_completion_length=4))

    assert weigh("dapo").sum(axis=1) == pytest.approx([3 / 4, 1 / 4])
    assert weigh("grpo").sum(axis=1) == pytest.approx([1 / 2, 1 / 2])
    assert weigh("dr_grpo").sum(axis=1) == pytest.approx([3 / 8, 1 / 8])


def test_no_option_is_without_a_test_of_what_it_changes() -> None:
    here = Path(__file__).read_text()
    own = (mlx_grpo.Options.model_fields.keys() | mlx_ppo.Options.model_fields.keys()) - StepOptions.model_fields.keys()
    assert [name for name in own if name not in here] == []


# What cannot be believed or taken.


@pytest.mark.parametrize("trainer", ["mlx_grpo", "mlx_ppo"])
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"num_generations": 4, "top_p": 0.01, "max_steps": 1}, "rewards never varied"),  # always the likeliest
        ({"max_completion_length": 2, "max_steps": 1}, "Raise max_completion_length"),
    ],
    ids=["all alike", "all cut off"],
)
def test_answers_that_teach_nothing_are_a_bad_result(
    tmp_path: Path, trainer: str, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(BadResult, match=told):
        few_rounds(trainer, tmp_path, **options)


@pytest.mark.parametrize("trainer", ["mlx_grpo", "mlx_ppo"])
def test_what_cannot_be_used_is_refused_before_the_start(tmp_path: Path, trainer: str) -> None:
    with pytest.raises(InvalidConfigurationOptions, match="multiple of option 'num_generations'"):
        few_rounds(trainer, tmp_path, num_generations=3)
    with pytest.raises(InvalidInput, match="lower max_completion_length"):
        few_rounds(trainer, tmp_path, max_completion_length=510)
    with pytest.raises(InvalidInput, match="There is no reward 'speed'"):
        few_rounds(trainer, tmp_path, rewards="speed=1")
    with pytest.raises(InvalidInput, match="takes rows with prompt"):
        trained(trainer, job(tmp_path, rows("mlx-demo", first=4)), **FEW)
