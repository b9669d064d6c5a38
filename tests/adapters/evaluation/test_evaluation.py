"""Held-out rows are measured the same way, whatever library the model is on."""

from pathlib import Path

import pytest

from adapters.datasets import Datasets
from adapters.evaluation import evaluate
from adapters.evaluation.batches import in_batches
from domain.ports import Device
from domain.training import Row
from infra import samples

SAMPLES = Path(samples.__file__).parent
BASE = str(SAMPLES / "small-base")
pytestmark = pytest.mark.training

TORCH, MLX = Device("cpu", "CPU"), Device("mlx", "MLX")

on_each = pytest.mark.parametrize("device", [TORCH, MLX], ids=lambda device: device.name)


@pytest.fixture(scope="module")
def held_out() -> list[Row]:
    return list(Datasets(SAMPLES).load("sft-demo", seed=0).held_out[:50])


@on_each
def test_the_same_seed_measures_the_same(device: Device, held_out: list[Row]) -> None:
    measured = [evaluate(BASE, None, held_out, device=device, is_adapter=False, seed=seed) for seed in (1, 1)]

    assert measured[0] == measured[1]
    assert 0.1 < measured[0].metrics["accuracy"] < 0.5
    assert [answer.expected for answer in measured[0].answers[:3]] == ["91", "65", "57"]


def test_torch_and_mlx_find_the_same_loss(held_out: list[Row]) -> None:
    losses = [
        evaluate(BASE, None, held_out, device=device, is_adapter=False, seed=0).metrics["loss"]
        for device in (TORCH, MLX)
    ]

    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@on_each
def test_pairs_give_how_often_the_chosen_answer_is_likelier(device: Device) -> None:
    pairs: list[Row] = [
        {"prompt": "<|user|>1+1=<|end|><|assistant|>", "chosen": "<answer>", "rejected": "zzzz"},
        {"prompt": "<|user|>1+1=<|end|><|assistant|>", "chosen": "zzzz", "rejected": "<answer>"},
    ]

    measured = evaluate(BASE, None, pairs, device=device, is_adapter=False, seed=0)

    assert measured.metrics["preference_accuracy"] == 0.5
    assert measured.metrics["margin"] == pytest.approx(0.0, abs=1e-6)


@on_each
def test_texts_have_a_loss_and_nothing_to_be_right_about(device: Device) -> None:
    measured = evaluate(BASE, None, [{"text": "<|user|>47+38=<|end|>"}], device=device, is_adapter=False, seed=0)

    assert measured.metrics.keys() == {"loss"}
    assert measured.metrics["loss"] > 0


def test_measuring_leaves_the_random_numbers_of_a_training_alone(held_out: list[Row]) -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    evaluate(BASE, None, held_out[:2], device=TORCH, is_adapter=False, seed=0)

    assert torch.equal(torch.rand(1), expected)


def test_every_row_is_in_one_batch_and_rows_of_like_length_are_together() -> None:
    lengths = [5, 20_000, 7000, 6000, 6000, 1]

    batches = list(in_batches(lengths))

    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert [[lengths[i] for i in batch] for batch in batches] == [[20_000], [7000, 6000], [6000, 5], [1]]
