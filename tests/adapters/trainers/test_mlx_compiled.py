"""On an Apple GPU every step is compiled; here the CPU does the same, with the system's compiler and some patience."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.shared.mlx_runtime import make_ready
from tests.adapters.trainers.running import Recorded, job, pairs, rows, trained

pytestmark = [
    pytest.mark.full,
    pytest.mark.training,
    pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs g++"),
]

STEPS: dict[str, Any] = {"max_steps": 3, "batch_size": 4, "learning_rate": 1e-3, "lr_scheduler_type": "constant"}
ANSWERS: dict[str, Any] = {"max_completion_length": 20, "rewards": "length(14)=1, format=0.2", "beta": 0.1}


@pytest.fixture
def compiling() -> Iterator[Any]:
    make_ready()
    import mlx.core as mx

    yield mx.enable_compile
    mx.disable_compile()


@pytest.mark.parametrize(
    ("trainer", "data", "options"),
    [
        ("mlx_lora", rows("mlx-demo", first=20), {"lora_dropout": 0.1}),
        ("mlx_dpo", pairs("mlx-demo", first=20), {}),
        ("mlx_grpo", rows("grpo-demo", first=20), {"num_generations": 2, **ANSWERS}),
        ("mlx_ppo", rows("grpo-demo", first=20), {"mini_batch_size": 2, **ANSWERS}),
    ],
    ids=["lora", "dpo", "grpo", "ppo"],
)
def test_compiled_steps_are_the_same_steps(
    tmp_path: Path, compiling: Any, trainer: str, data: list[dict[str, Any]], options: dict[str, Any]
) -> None:
    plain, compiled = Recorded(), Recorded()
    trained(trainer, job(tmp_path / "plain", data), plain, **STEPS, **options)
    compiling()
    trained(trainer, job(tmp_path / "compiled", data), compiled, **STEPS, **options)

    # Fused operations round otherwise; sampled answers may part ways after the first round.
    assert compiled.all("loss")[0] == pytest.approx(plain.all("loss")[0], rel=1e-2, abs=1e-3)
    assert len(compiled.steps) == 3
