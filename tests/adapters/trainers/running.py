"""Running a trainer on the small base model, here or in a process that is killed on the way."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from adapters.shared.training.checkpoints import FolderCheckpoints
from adapters.trainers import load
from domain.catalogue.method_spec import Backend
from domain.training import TrainingJob, TrainingResult

SAMPLES = Path(__file__).parents[3] / "infra" / "samples"
SMALL_BASE = str(SAMPLES / "small-base")


def rows(sample: str, part: str = "train", *, first: int) -> list[dict[str, Any]]:
    lines = (SAMPLES / sample / f"{part}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines[:first]]


def pairs(sample: str, part: str = "train", *, first: int) -> list[dict[str, Any]]:
    """Right demonstrations beside guesses, for training code that learns from preferences."""
    return [
        {
            "prompt": row["messages"][:1],
            "chosen": row["messages"][1:],
            "rejected": [{"role": "assistant", "content": f"<answer>{(37 * number) % 160 + 20}</answer>"}],
        }
        for number, row in enumerate(rows(sample, part, first=first))
    ]


class Recorded:
    """Keeps what was reported; kills the process when it comes to a step, if one is named."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.steps: list[Mapping[str, float]] = []
        self._kill_at = kill_at

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        self.steps.append(metrics)
        if step == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def all(self, name: str) -> list[float]:
        return [metrics[name] for metrics in self.steps]


def job(folder: Path, data: list[dict[str, Any]], *, seed: int = 0, device: str = "mlx", keep: int = 2) -> TrainingJob:
    folder.mkdir(parents=True, exist_ok=True)
    return TrainingJob(
        run_id=UUID(int=1),
        method="a-method",
        backend=Backend.MLX if device == "mlx" else Backend.CUDA,
        device=device,
        base_model=SMALL_BASE,
        rows=data,
        held_out=[],
        seed=seed,
        folder=folder,
        checkpoints=FolderCheckpoints(folder / "checkpoints", keep=keep),
    )


def trained(trainer: str, run: TrainingJob, progress: Recorded | None = None, **options: Any) -> TrainingResult:
    module: Any = load(trainer.replace("_", "-"))
    return module.train(run, module.Options(**options), progress or Recorded())


def killed(trainer: str, run: TrainingJob, *, at: int, **options: Any) -> None:
    """Train in another process, which is killed with SIGKILL while it reports a step."""
    asked = {
        "trainer": trainer,
        "folder": str(run.folder),
        "rows": list(run.rows),
        "seed": run.seed,
        "device": run.device,
        "at": at,
        "options": options,
    }
    done = subprocess.run(
        [sys.executable, __file__], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def weights(result: TrainingResult) -> bytes:
    """The bytes of all weights that a training saved."""
    return b"".join(file.read_bytes() for file in sorted(result.folder.glob("*.safetensors")))


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    run = job(Path(asked["folder"]), asked["rows"], seed=asked["seed"], device=asked["device"])
    trained(asked["trainer"], run, Recorded(kill_at=asked["at"]), **asked["options"])
