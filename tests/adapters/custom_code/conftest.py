"""Code of one's own, written as a test needs it, and a job to give it."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from adapters.custom_code.running import Limits
from adapters.shared.training.checkpoints import FolderCheckpoints
from domain.catalogue.method_spec import Backend
from domain.training import TrainingJob

OPTIONS = """
from pydantic import BaseModel, Field
from domain.training import TrainingResult, changes

class Options(BaseModel):
    max_steps: int = Field(3, ge=1, le=100, description="Steps", json_schema_extra=changes("steps"))
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A folder with this method.py, after the options that most of them share."""

    def writing(text: str) -> Path:
        folder = tmp_path / "code"
        folder.mkdir(exist_ok=True)
        (folder / "method.py").write_text(text)
        return folder

    return writing


@pytest.fixture
def job(tmp_path: Path) -> TrainingJob:
    folder = tmp_path / "run"
    folder.mkdir()
    return TrainingJob(
        run_id=uuid4(),
        method="custom01",
        backend=Backend.CUDA,
        device="cpu",
        base_model="nowhere",
        rows=[{"text": "a"}, {"text": "b"}],
        held_out=[{"text": "c"}],
        seed=0,
        folder=folder,
        checkpoints=FolderCheckpoints(folder / "checkpoints"),
    )


@pytest.fixture
def limits() -> Limits:
    return Limits(memory_gb=1.0, silence_s=60.0, tasks=200, grace_s=2.0)


class Steps:
    """Remembers what was reported."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def step(self, step: int, total: int, metrics: object) -> None:
        self.steps.append(step)
