"""Real trainings, small ones: a job on the small base model and the demos' rows."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from adapters.datasets import Datasets
from adapters.shared.training.checkpoints import FolderCheckpoints
from domain.catalogue.method_spec import Backend
from domain.training import TrainingJob
from infra import samples
from tests.adapters.trainers.shaped_rows import SHAPES

SAMPLES = Path(samples.__file__).parent

# What a test gives `train` to hear of each step, in the order in which they came.
Told = list[tuple[int, int, Mapping[str, float]]]


class Hearing:
    """A progress that remembers, and that can be made to stop the run as a cancellation does."""

    def __init__(self, *, stop_after: int | None = None) -> None:
        self.told: Told = []
        self._stop_after = stop_after

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        self.told.append((step, total, metrics))
        if step == self._stop_after:
            raise KeyboardInterrupt


@pytest.fixture
def hearing() -> type[Hearing]:
    return Hearing


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., TrainingJob]:
    """Makes a job in a folder of its own; another `folder` name is another run.

    The dataset is a sample's name, or one followed by «in pairs» or «marked».
    """

    def make(dataset: str = "sft-demo", *, folder: str = "run", **changes: Any) -> TrainingJob:
        sample, _, shape = dataset.partition(" ")
        rows = Datasets(SAMPLES).load(sample, seed=0)
        shaped = SHAPES[shape]
        fields: dict[str, Any] = {
            "run_id": UUID(int=1),
            "method": "under-test",
            "backend": Backend.CUDA,
            "device": "cpu",
            "base_model": str(SAMPLES / "small-base"),
            "rows": shaped(rows.rows),
            "held_out": shaped(rows.held_out[:80]),
            "seed": 0,
            "folder": tmp_path / folder,
            "checkpoints": FolderCheckpoints(tmp_path / folder / "checkpoints"),
        }
        return TrainingJob(**fields | changes)

    return make
