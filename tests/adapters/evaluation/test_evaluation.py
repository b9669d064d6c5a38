"""Held-out rows are measured the same way, whatever library the model is on."""

from pathlib import Path

import pytest

from adapters.datasets import Datasets
from adapters.evaluation import batches, evaluate, opened
from adapters.evaluation.batches import LOGITS_AT_ONCE, in_batches, in_stretches
from domain.ports import Device
from domain.training import Row
from infra import samples
from tests.adapters.trainers.running import job, rows, trained

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

    found = list(in_batches(lengths))

    assert sorted(i for batch in found for i in batch) == list(range(len(lengths)))
    assert [[lengths[i] for i in batch] for batch in found] == [[20_000], [7000, 6000], [6000, 5], [1]]


def test_batches_and_stretches_have_no_more_predictions_than_there_is_room_for() -> None:
    vocabulary = 152_000
    lengths = [4096, 400, 40, 30, 20, 10]
    for batch in in_batches(lengths, vocabulary=vocabulary):
        longest = max(lengths[i] for i in batch)
        stretches = list(in_stretches(longest, rows=len(batch), vocabulary=vocabulary))
        assert [place for s in stretches for place in range(s.start, s.stop)] == list(range(longest))
        assert all((s.stop - s.start) * len(batch) * vocabulary <= LOGITS_AT_ONCE for s in stretches)


@on_each
def test_predictions_in_stretches_are_those_of_the_whole_row(
    device: Device, held_out: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(BASE, None, device=device, is_adapter=False) as model:
        whole = model.log_likelihoods(held_out[:8])
        monkeypatch.setattr(batches, "LOGITS_AT_ONCE", 272 * 7)  # seven places of one row
        assert [tokens for _, tokens in model.log_likelihoods(held_out[:8])] == [tokens for _, tokens in whole]
        in_parts = [total for total, _ in model.log_likelihoods(held_out[:8])]
    assert in_parts == pytest.approx([total for total, _ in whole], rel=1e-4)


def test_no_more_predictions_than_there_is_room_for_are_ever_made(
    held_out: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    monkeypatch.setattr(batches, "LOGITS_AT_ONCE", 272 * 7)
    with opened(BASE, None, device=TORCH, is_adapter=False) as model:
        head = model._model.get_output_embeddings()  # type: ignore[attr-defined]
        with head.register_forward_hook(lambda _module, _given, logits: made.append(logits.numel())):
            model.log_likelihoods(held_out[:4])
    assert 0 < max(made) <= 272 * 7


@pytest.mark.full  # it trains an adapter first
def test_an_adapters_virtual_tokens_are_not_taken_for_those_of_the_row(
    held_out: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = job(tmp_path, rows("sft-demo", first=8), device="cpu")
    folder = trained("peft", run, adapter="prompt", max_steps=2, batch_size=4, learning_rate=0.1).folder
    with opened(BASE, folder, device=TORCH, is_adapter=True) as model:
        whole = [total for total, _ in model.log_likelihoods(held_out[:4])]
        monkeypatch.setattr(batches, "LOGITS_AT_ONCE", 272 * 7)
        assert [total for total, _ in model.log_likelihoods(held_out[:4])] == pytest.approx(whole, rel=1e-4)
