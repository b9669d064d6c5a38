"""The process in which code of one's own runs. It gets a task on one pipe and tells on another; nothing else is its.

Started as `python -m adapters.custom_code.child TASKS TELLS` with the numbers of the two pipes.
"""

import ctypes
import faulthandler
import importlib.util
import inspect
import json
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType, ModuleType
from typing import IO, Any
from uuid import UUID

from adapters.custom_code.code_store import ENTRY
from adapters.custom_code.shared_memory import pass_files_without_sockets
from adapters.shared import confinement
from adapters.shared.training.checkpoints import FolderCheckpoints
from domain.catalogue.method_spec import Backend
from domain.catalogue.options import declared_options
from domain.errors import InvalidInput, TrainingMethodError
from domain.training import TrainingJob, TrainingResult

HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "mlx", "mlx_lm", "tensorflow", "jax")
"""What a method imports inside `train`: nobody waits for it who only looks at the method's options."""


class Stopped(BaseException):
    """The run was cancelled. Not an `Exception`, so that a method's own `except Exception` lets it through."""


class WrongShape(Exception):
    """The code does not keep the contract: what is missing, or of another shape."""


class _Ending:
    """A process is asked to end once: what it does on its way out is not interrupted again."""

    begun = False


class _Bounds:
    """Whether the system keeps this process from everything that is not the code's own."""

    confined = False


_WHAT_IT_MAY = (
    "A method's own code reads its folder, its data and its base model, writes below job.folder, and uses no network"
)


class Pipe:
    """The other side, line by line: what is told there, and the answers."""

    def __init__(self, tasks: IO[str], tells: IO[str]) -> None:
        self._tasks, self._tells = tasks, tells

    def tell(self, message: Mapping[str, Any]) -> None:
        self._tells.write(json.dumps(message) + "\n")
        self._tells.flush()

    def heard(self) -> Any:
        line = self._tasks.readline()
        if not line:
            _Ending.begun = True
            raise Stopped("the worker stopped it, or is gone")
        return json.loads(line)


class PipedProgress:
    """The `Progress` of code in this process: each step is told, and goes on when the other side has taken it."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        numbers = {str(name): float(value) for name, value in metrics.items()}
        self._pipe.tell({"step": int(step), "total": int(total), "metrics": numbers})
        if (answer := self._pipe.heard()) != "go on":
            raise Stopped(str(answer))


def main() -> None:
    """Do the one task that the other side gives, and tell what came of it."""
    tasks = os.fdopen(int(sys.argv[1]), "r", encoding="utf-8")
    tells = os.fdopen(int(sys.argv[2]), "w", encoding="utf-8")
    pipe = Pipe(tasks, tells)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    signal.signal(signal.SIGTERM, _stop)
    task = pipe.heard()
    _die_with_parent(task["parent"])
    _keep_to(task["bounds"])
    folder = Path(task["code"]) if task.get("code") else None
    try:
        pipe.tell({"result": _TASKS[task["do"]](task, pipe)})
    except Stopped as stopped:
        pipe.tell({"stopped": str(stopped)})
    except BaseException as error:
        traceback.print_exc()
        pipe.tell({"failed": failure(error, folder)})


def _stop(_signal: int, _frame: FrameType | None) -> None:
    if not _Ending.begun:
        _Ending.begun = True
        raise Stopped("it was asked to end")


def _die_with_parent(parent: int) -> None:
    """On Linux this process ends with its worker; elsewhere it notices at its next step that nobody listens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)


def _keep_to(bounds: Mapping[str, Any]) -> None:
    """From here on this process has nothing that the code is not to have. Raises `OSError` where that fails."""
    _limit(bounds)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: what it starts is its own, and is found
    if bounds["confined"]:
        confinement.confine(reads=map(Path, bounds["reads"]), writes=map(Path, bounds["writes"]))
        _Bounds.confined = True
        pass_files_without_sockets()
    else:
        confinement.drop_capabilities()


def _limit(bounds: Mapping[str, Any]) -> None:
    """Limits that the system holds: what goes beyond one fails where it does, with its line."""
    import resource

    limits = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": bounds["most_file_bytes"]}
    if sys.platform == "linux":  # elsewhere they are not held, or count what is not ours
        limits |= {"RLIMIT_AS": bounds["most_bytes"], "RLIMIT_NPROC": bounds["most_tasks"]}
    for name, most in limits.items():
        if most is not None:
            which = getattr(resource, name)
            _, hard = resource.getrlimit(which)
            lowest = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(which, (lowest, lowest))


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


def declare(task: Mapping[str, Any], _: Pipe) -> dict[str, Any]:
    """What the code declares, the heavy libraries that it imports for that, and how long (seconds) that took."""
    began = time.monotonic()
    module = load(Path(task["code"]))
    took = time.monotonic() - began
    try:
        options = declared_options(module.Options)
    except (TypeError, ValueError) as error:
        raise WrongShape(f"Options: {error}") from None
    return {
        "options": [option.model_dump(mode="json") for option in options],
        "heavy": [name for name in HEAVY if name in sys.modules],
        "seconds": took,
    }


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


def train(task: Mapping[str, Any], pipe: Pipe) -> dict[str, Any]:
    """Let the code train; its result, which has the right shape."""
    job = job_from(task["job"])
    make_ready(job.backend)
    module = load(Path(task["code"]))
    options = module.Options.model_validate(task["options"])
    return checked(module.train(job, options, PipedProgress(pipe)), job)


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
        case PermissionError() if _Bounds.confined:
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


def _check(task: Mapping[str, Any], pipe: Pipe) -> Any:
    from adapters.custom_code.conformance import check

    return check(task, pipe)


_TASKS: dict[str, Callable[[Mapping[str, Any], Pipe], Any]] = {"declare": declare, "train": train, "check": _check}

if __name__ == "__main__":
    # Under its own name, so that its classes are the same for whoever imports them.
    from adapters.custom_code.child import main as run_this_process

    run_this_process()
