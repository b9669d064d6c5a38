"""How long a training is in passes over its rows, and several rows in one without one seeing another."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.shared.training.epochs import steps_to_take
from adapters.trainers.torch.common.packing import must_keep_rows_apart
from domain.errors import InvalidConfigurationOptions
from tests.adapters.trainers.running import SMALL_BASE, Recorded, job, pairs, rows, trained, weights


@given(rows=st.integers(1, 10_000), batch_size=st.integers(1, 512), epochs=st.integers(1, 20))
def test_whole_epochs_see_every_row_that_often_and_no_batch_more(rows: int, batch_size: int, epochs: int) -> None:
    steps = steps_to_take(7, float(epochs), rows=rows, batch_size=batch_size)

    assert steps * batch_size >= epochs * rows
    assert (steps - epochs) * batch_size < epochs * rows


def test_without_epochs_max_steps_counts_and_with_them_it_does_not() -> None:
    assert steps_to_take(7, 0.0, rows=100, batch_size=10) == 7
    assert steps_to_take(7, 1.5, rows=100, batch_size=10) == 15
    assert steps_to_take(7, 0.001, rows=100, batch_size=10) == 1


FEW: dict[str, Any] = {"max_steps": 50, "batch_size": 4, "learning_rate": 1e-3, "save_steps": 0, "epochs": 1.5}


@pytest.mark.training
@pytest.mark.parametrize("trainer", ["sft", "dpo", "mlx_orpo"])
def test_a_training_takes_as_many_steps_as_its_epochs_do(trainer: str, tmp_path: Path) -> None:
    given = pairs("mlx-demo", first=10) if trainer in ("dpo", "mlx_orpo") else rows("mlx-demo", first=10)
    seen = Recorded()

    result = trained(trainer, job(tmp_path, given, device="mlx" if "mlx" in trainer else "cpu"), seen, **FEW)

    assert (result.steps, len(seen.steps)) == (5, 5)  # 10 rows are three batches of 4, and half of them again
    assert seen.all("learning_rate")[-1] < seen.all("learning_rate")[0]  # the schedule is that of these steps


@pytest.mark.training
def test_packed_rows_are_learned_as_if_each_were_alone(tmp_path: Path) -> None:
    how: dict[str, Any] = {"max_steps": 1, "learning_rate": 1e-3, "save_steps": 0, "max_length": 256}
    alone, packed = Recorded(), Recorded()

    trained("sft", job(tmp_path / "alone", rows("sft-demo", first=6), device="cpu"), alone, batch_size=6, **how)
    trained(
        "sft",
        job(tmp_path / "packed", rows("sft-demo", first=6), device="cpu"),
        packed,
        batch_size=1,
        packing=True,
        **how,
    )

    # Six rows of at most 40 tokens lie in one of 256, and the loss is the mean over the same tokens.
    for metric in ("loss", "grad_norm", "token_accuracy"):
        assert packed.all(metric) == pytest.approx(alone.all(metric), rel=1e-4)


@pytest.mark.training
def test_a_packed_run_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    how: dict[str, Any] = {"batch_size": 2, "learning_rate": 1e-3, "save_steps": 2, "max_length": 128, "packing": True}
    data = rows("sft-demo", first=40)
    whole = trained("sft", job(tmp_path / "whole", data, device="cpu"), max_steps=4, **how)

    class Stop(Recorded):
        def step(self, step: int, total: int, metrics: Any) -> None:
            if step == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained("sft", job(tmp_path / "stopped", data, device="cpu"), Stop(), max_steps=4, **how)
    resumed = trained("sft", job(tmp_path / "stopped", data, device="cpu"), max_steps=4, **how)

    assert weights(resumed) == weights(whole)


@pytest.mark.training
def test_packing_is_refused_where_rows_would_see_one_another(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(SMALL_BASE)
    must_keep_rows_apart(model)
    plain = model.forward

    def as_one_text(*given: Any, position_ids: Any = None, **more: Any) -> Any:
        return plain(*given, **more)

    model.forward = as_one_text
    with pytest.raises(InvalidConfigurationOptions, match=r"'packing'.*\(sdpa\).*as one text; set packing to false"):
        must_keep_rows_apart(model)
    with pytest.raises(InvalidConfigurationOptions, match="the adapter prompt has its place before a row"):
        must_keep_rows_apart(model, SimpleNamespace(is_prompt_learning=True))


def test_trainers_on_mlx_offer_no_packing_and_a_method_that_does_is_refused_with_a_sentence() -> None:
    from adapters.trainers import declarations
    from domain.catalogue.method_spec import MethodSpec

    offered = declarations()["sft"].options
    packing = next(option for option in offered if option.name == "packing")
    spec = MethodSpec.parse(
        {
            "internal_name": "packed",
            "display_name": "Packed",
            "method_type": "SFT",
            "description": "-",
            "trainer": "mlx-lora",
            "backends": ["mlx"],
            "configuration_options": [packing.model_dump(mode="json", exclude_none=True)],
        }
    )
    with pytest.raises(InvalidConfigurationOptions, match="'packing' is not declared by trainer 'mlx-lora'"):
        declarations()["mlx-lora"].must_allow(spec)
