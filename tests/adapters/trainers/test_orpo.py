"""`orpo` and `mlx-orpo` minimise the paper's loss, and the same one."""

from pathlib import Path
from typing import Any

import pytest

from adapters.shared.conversations import encode
from adapters.shared.opening import model_of, tokenizer_of
from tests.adapters.trainers.running import SMALL_BASE, Recorded, job, pairs, trained

pytestmark = pytest.mark.training

BETA = 0.25
ONE_STEP: dict[str, Any] = {"max_steps": 1, "batch_size": 6, "learning_rate": 1e-3, "beta": BETA, "save_steps": 0}
BACKENDS = pytest.mark.parametrize(("trainer", "device"), [("orpo", "cpu"), ("mlx_orpo", "mlx")])


def papers_loss(data: list[dict[str, Any]]) -> float:
    """−log P(y_w|x) − λ log σ(log odds(y_w|x) / odds(y_l|x)), log P a mean over the answer's tokens (Hong 2024)."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = tokenizer_of(SMALL_BASE)
    model = model_of(AutoModelForCausalLM, SMALL_BASE, dtype=torch.float64)

    def likely(row: dict[str, Any], side: str) -> Any:
        whole = encode(tokenizer, {"prompt": row["prompt"], "completion": row[side]})
        with torch.no_grad():
            logprobs = model(torch.tensor([whole.ids])).logits[0].log_softmax(-1)
        said = [logprobs[at - 1, whole.ids[at]] for at, learned in enumerate(whole.learned) if learned]
        return torch.stack(said).mean()

    losses = []
    for row in data:
        chosen, rejected = likely(row, "chosen"), likely(row, "rejected")
        odds = [p.exp() / (1 - p.exp()) for p in (chosen, rejected)]
        losses.append(-chosen - BETA * torch.log(torch.sigmoid(torch.log(odds[0] / odds[1]))))
    return float(torch.stack(losses).mean())


@BACKENDS
def test_the_loss_is_the_papers_of_the_answers_alone(trainer: str, device: str, tmp_path: Path) -> None:
    data, told = pairs("sft-demo", first=6), Recorded()
    trained(trainer, job(tmp_path, data, device=device), told, **ONE_STEP)
    assert told.all("loss") == [pytest.approx(papers_loss(data), rel=1e-4)]


@BACKENDS
def test_a_prompt_that_leaves_no_room_for_an_answer_is_left_out(trainer: str, device: str, tmp_path: Path) -> None:
    data, told = pairs("sft-demo", first=6), Recorded()
    overlong = data[0] | {"prompt": [{"role": "user", "content": "1" * 600}]}
    trained(trainer, job(tmp_path, [overlong, *data], device=device), told, **ONE_STEP)
    assert told.all("loss") == [pytest.approx(papers_loss(data), rel=1e-4)]


@BACKENDS
def test_what_a_margin_is_elsewhere_is_not_told_under_that_name(trainer: str, device: str, tmp_path: Path) -> None:
    told = Recorded()
    trained(trainer, job(tmp_path, pairs("sft-demo", first=6), device=device), told, **ONE_STEP)
    assert "margin" not in told.steps[0]
    assert "log_odds_ratio" in told.steps[0]
