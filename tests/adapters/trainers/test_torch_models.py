"""The same trainers on models of other families, and runs that are killed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.evaluation import evaluate, opened
from adapters.shared.quiet import quiet
from domain.ports import Device
from tests.adapters.trainers.running import SMALL_BASE, Recorded, job, killed, rows, trained, weights

pytestmark = pytest.mark.training

CPU = Device("cpu", "CPU")
SHORT: dict[str, Any] = {"max_steps": 4, "batch_size": 4, "learning_rate": 1e-3, "save_steps": 2}


@pytest.fixture
def bare(tmp_path: Path) -> str:
    """A GPT-2 with fresh weights of its own head, 64 positions, no chat template and nothing to pad with."""
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(SMALL_BASE)
    tokenizer.chat_template = None
    tokenizer.pad_token = None
    ends = {"bos_token_id": tokenizer.eos_token_id, "eos_token_id": tokenizer.eos_token_id}
    shape = {"n_positions": 64, "n_embd": 32, "n_layer": 1, "n_head": 2, "tie_word_embeddings": False}
    folder = tmp_path / "bare"
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **shape, **ends)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("trainer", "sample", "options"),
    [
        ("sft", "sft-demo", {}),
        ("peft", "sft-demo", {"adapter": "lora"}),
        ("grpo", "grpo-demo", {"num_generations": 2, "max_completion_length": 8, "rewards": 'regex("[a-m]")=1'}),
    ],
)
def test_a_model_without_template_pad_token_or_tied_head_trains_and_is_measured(
    trainer: str, sample: str, options: dict[str, Any], bare: str, tmp_path: Path
) -> None:
    run = replace(job(tmp_path / "run", rows(sample, first=16), device="cpu"), base_model=bare)

    result = trained(trainer, run, **SHORT | {"save_steps": 0} | options)

    held_out = rows(sample, "held_out", first=4)
    measured = evaluate(bare, result.folder, held_out, device=CPU, is_adapter=result.is_adapter, seed=0)
    assert 0 <= measured.metrics["accuracy"] <= 1


def test_an_adapter_on_tied_embeddings_says_the_same_after_it_was_merged(tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run = job(tmp_path / "run", rows("sft-demo", first=16), device="cpu")
    result = trained("peft", run, **SHORT)
    base = AutoModelForCausalLM.from_pretrained(SMALL_BASE)
    ids = torch.tensor([[10, 20, 30]])

    with quiet(), torch.inference_mode():
        adapted = PeftModel.from_pretrained(base, str(result.folder)).eval()
        before = adapted(ids).logits
        after = adapted.merge_and_unload()(ids).logits

    assert torch.allclose(before, after, atol=1e-4)


@pytest.mark.parametrize(("trainer", "sample"), [("sft", "sft-demo"), ("grpo", "grpo-demo")])
def test_a_run_that_was_killed_goes_on_to_the_weights_of_an_uninterrupted_one(
    trainer: str, sample: str, tmp_path: Path
) -> None:
    data = rows(sample, first=24)
    chosen = SHORT | ({"num_generations": 4, "max_completion_length": 24} if trainer == "grpo" else {})
    whole = trained(trainer, job(tmp_path / "whole", data, device="cpu"), **chosen)

    killed(trainer, job(tmp_path / "killed", data, device="cpu"), at=3, **chosen)
    heard = Recorded()
    resumed = trained(trainer, job(tmp_path / "killed", data, device="cpu"), heard, **chosen)

    assert len(heard.steps) == 2
    assert weights(resumed) == weights(whole)


def test_a_run_whose_last_checkpoint_is_its_end_is_finished_without_another_step(tmp_path: Path) -> None:
    data = rows("sft-demo", first=16)
    run, heard = job(tmp_path / "run", data, device="cpu"), Recorded()
    first = weights(trained("sft", run, **SHORT))

    again = trained("sft", run, heard, **SHORT)

    assert (again.steps, heard.steps) == (4, [])
    assert weights(again) == first


def test_a_model_can_be_asked_and_answers_the_same_for_the_same_seed() -> None:
    with opened(SMALL_BASE, None, device=CPU, is_adapter=False) as model:
        said = [model.say([[{"role": "user", "content": "47+38="}]], longest=32, seed=seed) for seed in (1, 1)]

    assert said[0] == said[1]
    assert said[0][0]
