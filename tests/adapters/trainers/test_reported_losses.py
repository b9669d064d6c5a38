"""Rows whose losses were reported wrong have the loss of a first step that was computed by hand, on the small base."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from adapters.datasets import Datasets
from domain.catalogue.method_spec import Backend
from domain.training import TrainingJob
from tests.adapters.trainers.test_what_is_learned import first_loss

pytestmark = pytest.mark.training


def asked(words: str) -> dict[str, Any]:
    return {"role": "user", "content": words}


def said(words: str, **beside: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": words, **beside}


def preferred(number: int) -> Mapping[str, Any]:
    """As ultrafeedback_binarized has it: the prompt as text, and whole conversations as answers."""
    question = asked(f"{number}+24=")
    chosen = [question, said(f"<answer>{number + 24}</answer>")]
    return {
        "prompt": question["content"],
        "prompt_id": "x",
        "chosen": chosen,
        "rejected": [question, said("dunno")],
        "messages": chosen,
        "score_chosen": 7.5,
        "score_rejected": 4.0,
    }


def apart(number: int) -> Mapping[str, Any]:
    row = preferred(number)
    return {"prompt": row["chosen"][:1], "chosen": row["chosen"][1:], "rejected": row["rejected"][1:]}


def weighted(number: int) -> Mapping[str, Any]:
    wrong, right = said("WRONG WRONG", weight=0), said(f"<answer>{number + 13}</answer>", weight=1)
    return {"messages": [asked(f"{number}+13="), wrong, asked("No. Again."), right]}


def flagged(number: int) -> Mapping[str, Any]:
    bad, right = said("bad bad", train=False), said(f"<answer>{number + 26}</answer>", train=True)
    return {"messages": [asked(f"{number}+26="), bad, asked("again"), right]}


def judged(number: int) -> Mapping[str, Any]:
    is_right = number % 2 == 1
    return {
        "messages": [asked(f"{number}+21="), said(f"<answer>{number + 21 + 7 * (not is_right)}</answer>")],
        "label": is_right,
    }


@pytest.fixture
def loss(tmp_path: Path, job: Callable[..., TrainingJob], hearing: Any) -> Callable[..., float]:
    def loss_of(trainer: str, row: Callable[[int], Mapping[str, Any]]) -> float:
        file = tmp_path / f"{row.__name__}.jsonl"
        file.write_text("".join(json.dumps(row(number)) + "\n" for number in range(10, 22)))
        rows = Datasets(tmp_path).load(str(file), seed=0).rows
        on_mlx = {"backend": Backend.MLX, "device": "mlx"} if trainer.startswith("mlx") else {}
        return first_loss(trainer, job(rows=rows, folder=row.__name__, **on_mlx), hearing())

    return loss_of


@pytest.mark.parametrize("trainer", ["orpo", "mlx-orpo"])
def test_a_prompt_that_is_told_twice_is_learned_once(trainer: str, loss: Callable[..., float]) -> None:
    assert loss(trainer, preferred) == pytest.approx(1.168212, abs=2e-5)


@pytest.mark.parametrize("trainer", ["dpo", "reward"])
def test_a_prompt_that_is_told_twice_is_as_one_that_is_told_once(trainer: str, loss: Callable[..., float]) -> None:
    assert loss(trainer, preferred) == pytest.approx(loss(trainer, apart), abs=1e-6)


@pytest.mark.parametrize("trainer", ["sft", "mlx-lora"])
@pytest.mark.parametrize(("row", "by_hand"), [(weighted, 4.488824), (flagged, 4.618769)])
def test_messages_that_are_not_to_be_learned_do_not_count(
    trainer: str, row: Callable[[int], Mapping[str, Any]], by_hand: float, loss: Callable[..., float]
) -> None:
    assert loss(trainer, row) == pytest.approx(by_hand, abs=2e-5)


def test_conversations_with_a_label_are_judged(loss: Callable[..., float]) -> None:
    assert loss("kto", judged) == pytest.approx(0.5, abs=1e-6)  # the policy is still its own reference
