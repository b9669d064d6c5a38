"""`mlx-dpo` and `mlx-orpo`: learning from chosen and rejected answers on MLX."""

import math
from pathlib import Path
from typing import Any

import pytest

from adapters.evaluation import evaluate
from adapters.shared.mlx_runtime import make_ready
from adapters.trainers.mlx import mlx_dpo, mlx_orpo
from adapters.trainers.mlx.mlx_steps import StepOptions
from domain.errors import InvalidConfigurationOptions, InvalidInput
from domain.ports import Device
from domain.training import BadResult
from tests.adapters.trainers.mlx_answers import right_answers
from tests.adapters.trainers.running import SMALL_BASE, Recorded, job, killed, pairs, rows, trained, weights

pytestmark = pytest.mark.training

FEW: dict[str, Any] = {"max_steps": 2, "batch_size": 4, "learning_rate": 1e-3, "save_steps": 0}
BOTH = pytest.mark.parametrize("trainer", ["mlx_dpo", "mlx_orpo"])


def few_steps(trainer: str, folder: Path, **options: Any) -> tuple[Any, Recorded]:
    seen = Recorded()
    return trained(trainer, job(folder, pairs("mlx-demo", first=40)), seen, **(FEW | options)), seen


@BOTH
def test_it_learns_to_prefer_reasoned_answers_and_so_to_give_them(tmp_path: Path, trainer: str) -> None:
    run = job(tmp_path, pairs("mlx-demo", first=200))
    result = trained(trainer, run, max_steps=12, batch_size=16, learning_rate=1e-3, save_steps=0)

    held_out, mlx = pairs("mlx-demo", "held_out", first=50), Device("mlx", "MLX")
    before = evaluate(SMALL_BASE, None, held_out, device=mlx, is_adapter=False, seed=0).metrics
    after = evaluate(SMALL_BASE, result.folder, held_out, device=mlx, is_adapter=True, seed=0).metrics
    assert after["margin"] > before["margin"]
    assert right_answers(result.folder) > right_answers(None) + 0.2


@pytest.mark.sample("mlx_dpo")
@BOTH
def test_killed_at_any_moment_it_ends_with_the_weights_of_an_uninterrupted_run(tmp_path: Path, trainer: str) -> None:
    data = pairs("mlx-demo", first=10)
    options = FEW | {"max_steps": 3, "save_steps": 1, "lora_dropout": 0.1}
    whole = trained(trainer, job(tmp_path / "whole", data), **options)
    interrupted = job(tmp_path / "interrupted", data)
    killed(trainer, interrupted, at=3, **options)

    seen = Recorded()
    resumed = trained(trainer, interrupted, seen, **options)

    assert len(seen.steps) == 1
    assert weights(resumed) == weights(whole)
    assert (resumed.steps, resumed.metrics) == (whole.steps, whole.metrics)


@BOTH
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path, trainer: str) -> None:
    one, _ = few_steps(trainer, tmp_path / "one")
    same, _ = few_steps(trainer, tmp_path / "same")
    other = trained(trainer, job(tmp_path / "other", pairs("mlx-demo", first=40), seed=1), **FEW)
    assert weights(one) == weights(same) != weights(other)


def test_before_anything_is_learned_the_model_and_its_reference_agree(tmp_path: Path) -> None:
    _, seen = few_steps("mlx_dpo", tmp_path)
    assert seen.all("loss")[0] == pytest.approx(math.log(2))
    assert seen.all("margin")[0] == 0.0
    assert seen.all("loss")[1] < math.log(2)


def test_the_reference_stays_what_it_was_when_a_run_goes_on(tmp_path: Path) -> None:
    """Measured at the next step, the margin is that of all steps together, not of the last one."""
    run = job(tmp_path, pairs("mlx-demo", first=4))
    trained("mlx_dpo", run, max_steps=2, batch_size=4, learning_rate=1e-3, save_steps=1, lr_scheduler_type="constant")
    seen = Recorded()
    trained(
        "mlx_dpo", run, seen, max_steps=3, batch_size=4, learning_rate=1e-3, save_steps=1, lr_scheduler_type="constant"
    )
    assert seen.all("margin")[0] > 0.0


# What each option visibly changes; those that all trainers on MLX share are in test_mlx_lora.py.


@pytest.mark.parametrize(
    ("trainer", "option", "value"),
    [
        ("mlx_dpo", "beta", 1.0),
        ("mlx_dpo", "loss_type", "ipo"),
        ("mlx_dpo", "loss_type", "hinge"),
        ("mlx_dpo", "max_length", 30),
        ("mlx_dpo", "epochs", 0.3),
        ("mlx_orpo", "beta", 1.0),
        ("mlx_orpo", "max_length", 30),
    ],
)
def test_the_option_changes_the_weights(tmp_path: Path, trainer: str, option: str, value: object) -> None:
    plain, _ = few_steps(trainer, tmp_path / "plain")
    changed, _ = few_steps(trainer, tmp_path / "changed", **{option: value})
    assert weights(plain) != weights(changed)


def test_pairs_the_wrong_way_round_are_for_the_robust_loss_only(tmp_path: Path) -> None:
    few, _ = few_steps("mlx_dpo", tmp_path / "few", loss_type="robust", label_smoothing=0.1)
    many, _ = few_steps("mlx_dpo", tmp_path / "many", loss_type="robust", label_smoothing=0.3)
    assert weights(few) != weights(many)
    with pytest.raises(InvalidConfigurationOptions, match="'label_smoothing' is for loss_type robust"):
        few_steps("mlx_dpo", tmp_path / "none", label_smoothing=0.1)


@BOTH
def test_a_step_computed_in_parts_is_the_same_step(tmp_path: Path, trainer: str) -> None:
    _, whole = few_steps(trainer, tmp_path / "whole")
    _, in_parts = few_steps(trainer, tmp_path / "parts", gradient_accumulation_steps=2)
    assert in_parts.all("loss") == pytest.approx(whole.all("loss"), rel=1e-3)


@pytest.mark.parametrize(
    ("loss_type", "label_smoothing", "margin", "loss"),
    [
        ("sigmoid", 0.0, 3.0, math.log(1 + math.exp(-1.5))),
        ("robust", 0.25, 3.0, (0.75 * math.log(1 + math.exp(-1.5)) - 0.25 * math.log(1 + math.exp(1.5))) / 0.5),
        ("ipo", 0.0, 3.0, (3.0 - 1.0) ** 2),
        ("hinge", 0.0, 1.0, 0.5),
        ("hinge", 0.0, 3.0, 0.0),
    ],
)
def test_the_loss_on_a_margin_is_the_papers(loss_type: str, label_smoothing: float, margin: float, loss: float) -> None:
    make_ready()
    import mlx.core as mx

    found = mlx_dpo.margin_loss(mx.array(margin), beta=0.5, loss_type=loss_type, label_smoothing=label_smoothing)
    assert found.item() == pytest.approx(loss, rel=1e-5)


def test_odds_are_what_stands_for_an_answer_beside_what_stands_against_it() -> None:
    make_ready()
    import mlx.core as mx

    ratio = mlx_orpo.log_odds_ratio(mx.array(math.log(0.8)), mx.array(math.log(0.5)))
    assert ratio.item() == pytest.approx(math.log(4.0), rel=1e-5)  # 4 : 1 against 1 : 1
    assert mlx_orpo.odds_ratio_loss(ratio).item() == pytest.approx(-math.log(0.8), rel=1e-5)
    assert math.isfinite(mlx_orpo.log_odds_ratio(mx.array(0.0), mx.array(-90.0)).item())


def test_without_a_weight_for_the_odds_only_likelihood_is_learned(tmp_path: Path) -> None:
    _, seen = few_steps("mlx_orpo", tmp_path, beta=0.0, max_steps=1)
    _, both = few_steps("mlx_orpo", tmp_path / "both", beta=10.0, max_steps=1)
    assert 0 < seen.all("loss")[0] < both.all("loss")[0]


def test_no_option_is_without_a_test_of_what_it_changes() -> None:
    here = Path(__file__).read_text()
    own = (mlx_dpo.Options.model_fields.keys() | mlx_orpo.Options.model_fields.keys()) - StepOptions.model_fields.keys()
    assert [name for name in own if name not in here] == []


# What cannot be believed or taken.


@BOTH
def test_pairs_that_cannot_be_learned_from_are_refused(tmp_path: Path, trainer: str) -> None:
    with pytest.raises(BadResult, match="Raise max_length"):
        few_steps(trainer, tmp_path, max_length=8)
    with pytest.raises(InvalidInput, match="takes rows with prompt and chosen and rejected"):
        trained(trainer, job(tmp_path, rows("mlx-demo", first=4)), **FEW)
