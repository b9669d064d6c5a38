"""A trained reward model judges the answers of GRPO and RLOO, in place of rewards that a program verifies or beside."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from domain.errors import InvalidInput
from tests.adapters.trainers.running import SMALL_BASE, Recorded, job, pairs, rows, trained

pytestmark = pytest.mark.training

FEW: dict[str, Any] = {
    "max_steps": 1,
    "batch_size": 8,
    "num_generations": 4,
    "max_completion_length": 24,
    "save_steps": 0,
    "learning_rate": 1e-4,
}


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A reward model as the trainer `reward` makes it."""
    folder = tmp_path_factory.mktemp("judge")
    run = job(folder, pairs("sft-demo", first=32), device="cpu")
    return str(trained("reward", run, max_steps=2, batch_size=8, learning_rate=1e-3, save_steps=0).folder)


@pytest.mark.parametrize("trainer", ["grpo", "rloo"])
def test_its_score_is_the_reward_or_is_added_to_the_others(trainer: str, judge: str, tmp_path: Path) -> None:
    alone, beside = Recorded(), Recorded()
    data = rows("grpo-demo", first=16)

    trained(trainer, job(tmp_path / "alone", data, device="cpu"), alone, reward_model=judge, rewards="", **FEW)
    trained(
        trainer, job(tmp_path / "beside", data, device="cpu"), beside, reward_model=judge, rewards="format=2", **FEW
    )

    assert alone.all("reward") == pytest.approx(alone.all("reward_model"))
    together = np.add(beside.all("reward_model"), np.multiply(2, beside.all("reward_format")))
    assert beside.all("reward") == pytest.approx(together)
    assert beside.all("reward_model") == pytest.approx(alone.all("reward_model"))  # the same first answers


@pytest.mark.parametrize("trainer", ["grpo", "rloo"])
def test_what_is_no_reward_model_is_refused(trainer: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is no reward model"):
        trained(trainer, job(tmp_path, rows("grpo-demo", first=16), device="cpu"), reward_model=SMALL_BASE, **FEW)
