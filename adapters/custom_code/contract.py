"""The contract of training code, in the process in which the code runs: loaded, given its job, and held to it."""

import importlib.util
import inspect
import json
import math
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol
from uuid import UUID

from adapters.custom_code.code_store import ENTRY
from adapters.shared.training.checkpoints import FolderCheckpoints
from domain.catalogue.method_spec import Backend
from domain.errors import InvalidInput, TrainingMethodError
from domain.training import TrainingJob, TrainingResult

HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "mlx", "mlx_lm", "tensorflow", "jax")
"""What a method imports inside `train`: nobody waits for it who only looks at the method's options."""


class Tells(Protocol):
    """Tells the other side."""

    def tell(self, message: Mapping[str, Any]) -> None: ...


class Stopped(BaseException):
    """The run was cancelled. Not an `Exception`, so that a method's own `except Exception` lets it through."""


class WrongShape(Exception):
    """The code does not keep the contract: what is missing, or of another shape."""


class Bounds:
    """Whether the system keeps this process from everything that is not the code's own."""

    confined = False


_WHAT_IT_MAY = (
    "A method's own code reads its folder, its data and its base model, writes below job.folder, and uses no network"
)


# Loading.


def load(folder: Path) -> ModuleType:
    """The method's module, its folder first on the path for what lies beside it. Raises `WrongShape`."""
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("method", folder / ENTRY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["method"] = module
    spec.loader.exec_module(module)
    _must_keep_the_contract(module)
    return module


def _must_keep_the_contract(module: ModuleType) -> None:
    from pydantic import BaseModel

    options, train = getattr(module, "Options", None), getattr(module, "train", None)
    if not (isinstance(options, type) and issubclass(options, BaseModel)):
        raise WrongShape(f"{ENTRY} has no class Options(BaseModel): the pydantic model of its options")
    if not callable(train):
        raise WrongShape(f"{ENTRY} has no function train(job, options, progress)")
    try:
        inspect.signature(train).bind(None, None, None)
    except TypeError as error:
        raise WrongShape(f"train must take (job, options, progress): {error}") from None


# Training.


def job_from(facts: Mapping[str, Any]) -> TrainingJob:
    """The job as the other side described it."""
    folder = Path(facts["folder"])
    return TrainingJob(
        run_id=UUID(facts["run_id"]),
        method=facts["method"],
        backend=Backend(facts["backend"]),
        device=facts["device"],
        base_model=facts["base_model"],
        rows=_rows(Path(facts["rows"])),
        held_out=_rows(Path(facts["held_out"])),
        seed=facts["seed"],
        folder=folder,
        checkpoints=FolderCheckpoints(folder / "checkpoints"),
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def make_ready(backend: Backend) -> None:
    """What must happen before the first import of a backend's library."""
    if backend is Backend.MLX:
        from adapters.shared.mlx_runtime import make_ready

        make_ready()


def checked(result: object, job: TrainingJob) -> dict[str, Any]:
    """The result as plain facts. Raises `WrongShape` for one that nobody could keep."""
    if not isinstance(result, TrainingResult):
        raise WrongShape(f"train must return a TrainingResult, not {type(result).__name__}")
    folder = Path(result.folder)
    if not folder.is_dir():
        raise WrongShape(f"the folder of the TrainingResult is not there: {folder}")
    if not folder.resolve().is_relative_to(job.folder.resolve()):
        raise WrongShape(f"the folder of the TrainingResult must lie in job.folder, not at {folder}")
    config = "adapter_config.json" if result.is_adapter else "config.json"
    if not (folder / config).is_file():
        what = "an adapter" if result.is_adapter else "a model"
        raise WrongShape(f"the folder of the TrainingResult holds no {config}, so it is not {what} that can be opened")
    metrics = {str(name): float(value) for name, value in dict(result.metrics).items()}
    if wrong := [name for name, value in metrics.items() if not math.isfinite(value)]:
        raise WrongShape(f"the metrics of the TrainingResult are not finite: {', '.join(wrong)}")
    if not isinstance(result.steps, int) or result.steps < 1:
        raise WrongShape(f"steps of the TrainingResult must be 1 or more, not {result.steps!r}")
    return {"folder": str(folder), "is_adapter": bool(result.is_adapter), "steps": result.steps, "metrics": metrics}


# Failing.


def failure(error: BaseException, folder: Path | None) -> dict[str, Any]:
    """An error as facts: its words, whether it is of the kind that training code raises on purpose, and the place."""
    match error:
        case TrainingMethodError():
            words, kind = str(error), "invalid" if isinstance(error, InvalidInput) else "bad"
        case WrongShape():
            words, kind = str(error), "error"
        case SystemExit():
            words, kind = f"The code called exit ({error.code})", "error"
        case SyntaxError():
            words, kind = f"{type(error).__name__}: {error.msg}", "error"
        case PermissionError() if Bounds.confined:
            words, kind = f"{type(error).__name__}: {_one_line(error)}. {_WHAT_IT_MAY}", "error"
        case _:
            words, kind = f"{type(error).__name__}: {_one_line(error)}", "error"
    return {"words": words, "kind": kind, "place": place_of(error, folder)}


def place_of(error: BaseException, folder: Path | None) -> str:
    """The innermost line of the code's own files that the error came through: «method.py, line 12»."""
    if folder is None:
        return ""
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(folder):
        return f"{Path(error.filename).relative_to(folder)}, line {error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).is_relative_to(folder):
            return f"{Path(frame.filename).relative_to(folder)}, line {frame.lineno}, in {frame.name}"
    if (train := getattr(sys.modules.get("method"), "train", None)) is not None:
        return f"{ENTRY}, line {train.__code__.co_firstlineno}, in train" if hasattr(train, "__code__") else ENTRY
    return ENTRY


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]
