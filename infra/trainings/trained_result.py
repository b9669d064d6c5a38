"""What a training left in its run's folder once its last step was taken: it is not trained again, whatever follows."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from domain.training import TrainingResult

_FILE = "trained.json"
_MEASURING = "measuring"


def keep_result(folder: Path, result: TrainingResult) -> None:
    """Say in the run's folder that the training is done, and what came of it."""
    said = {
        "folder": str(result.folder),
        "is_adapter": result.is_adapter,
        "steps": result.steps,
        "metrics": dict(result.metrics),
    }
    begun = folder / f"{_FILE}.begun"
    begun.write_text(json.dumps(said), encoding="utf-8")
    begun.replace(folder / _FILE)


def kept_result(folder: Path) -> TrainingResult | None:
    """What an earlier attempt of the run trained to its last step on this machine; None if there is nothing."""
    with suppress(OSError, ValueError, KeyError):
        said = json.loads((folder / _FILE).read_bytes())
        if Path(said["folder"]).is_dir():
            return TrainingResult(Path(said["folder"]), said["is_adapter"], said["steps"], said["metrics"])
    return None


@contextmanager
def measuring(folder: Path) -> Iterator[None]:
    """Say in the run's folder that its result is being measured, for as long as the `with` lasts."""
    (folder / _MEASURING).touch()
    try:
        yield
    finally:
        (folder / _MEASURING).unlink(missing_ok=True)


def died_measuring(folder: Path) -> bool:
    """Whether an earlier process was ended, by force, while it measured the run's result."""
    return (folder / _MEASURING).exists()
