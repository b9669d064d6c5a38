"""Trials of training code: a few steps of `train` in a fresh folder; what it reported, read, kept and left behind."""

import gc
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from pydantic import BaseModel

from adapters.custom_code import contract
from adapters.shared.training.checkpoints import FolderCheckpoints
from domain.catalogue.options import OptionValue, declared_options
from domain.training import TrainingJob, TrainingResult

# A few steps show everything; where a method has options of these names, they make a trial short.
SMALL: Mapping[str, OptionValue] = {
    "max_steps": 3,
    "batch_size": 4,
    "mini_batch_size": 4,
    "num_generations": 8,
    "max_completion_length": 24,
    "max_length": 64,
    "save_steps": 2,
    "learning_rate": 1e-3,
}


class Stop(BaseException):
    """Ends a trial from its progress, as a cancellation does."""


@dataclass
class Trial:
    """One run of `train`: what it reported, read, left behind, and how it ended."""

    job: TrainingJob
    values: Mapping[str, OptionValue]
    steps: list[tuple[int, int, dict[str, float]]] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    checkpoints: list[int] = field(default_factory=list)
    result: TrainingResult | None = None
    error: BaseException | None = None

    @property
    def weights(self) -> str:
        """sha256 of everything that was learned: the tensors of the result's files, whatever stands beside them."""
        assert self.result is not None
        digest = hashlib.sha256()
        for file in sorted(self.result.folder.rglob("*")):
            if file.suffix in (".safetensors", ".npz", ".bin", ".gguf"):
                digest.update(file.name.encode() + b"\0" + tensors(file))
        return digest.hexdigest()

    @property
    def artifact(self) -> tuple[bool, dict[str, str]]:
        """Whether it is an adapter, and the configuration files beside the weights."""
        assert self.result is not None
        configured = {
            file.name: file.read_text(encoding="utf-8", errors="replace")
            for file in sorted(self.result.folder.glob("*.json"))
        }
        return self.result.is_adapter, configured

    def seen(self, what: str) -> Any:
        """What an option of this kind visibly changes."""
        match what:
            case "weights":
                return self.weights
            case "steps":
                return len(self.steps)
            case "metrics":
                return [metrics for _, _, metrics in self.steps]
            case "checkpoints":
                return self.checkpoints
            case "artifact":
                return self.artifact
        return None


def tensors(file: Path) -> bytes:
    """A weight file's tensors without its metadata, which may hold a time."""
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + length]) if file.suffix == ".safetensors" else None
    except ValueError:
        header = None  # it is no such file: that it cannot be opened is another claim's to find
    if not isinstance(header, dict):
        return content
    header.pop("__metadata__", None)
    return json.dumps(header, sort_keys=True).encode() + content[8 + length :]


class Trials:
    """Runs trials of one module, on one job; each is a run of its own in a folder of its own."""

    def __init__(self, module: Any, job: TrainingJob) -> None:
        self.module = module
        self.job = job
        self.options = declared_options(module.Options)
        self.small = {
            option.name: SMALL[option.name]
            for option in self.options
            if option.name in SMALL and option.problem_with(SMALL[option.name]) is None
        }
        if {"batch_size", "num_generations"} <= self.small.keys():
            self.small["batch_size"] = self.small["num_generations"]  # one prompt's answers, of which some are better
        self._shared: dict[frozenset[tuple[str, OptionValue]], Trial] = {}
        self._left_alone = False

    def shared(self, **changed: OptionValue) -> Trial:
        """A trial with the small values and these; one with the same values is not run twice."""
        key = frozenset(changed.items())
        if key not in self._shared:
            self._shared[key] = self.fresh(changed)
        return self._shared[key]

    def fresh(
        self, changed: Mapping[str, OptionValue], *, stop_at: int | None = None, folder: Path | None = None
    ) -> Trial:
        """A trial of its own; `stop_at` stops it at that step, in the folder of another one it goes on from there."""
        folder = folder or self.job.folder / uuid4().hex[:8]
        folder.mkdir(exist_ok=True)
        checkpoints = FolderCheckpoints(folder / "checkpoints", keep=1000)
        job = replace(self.job, folder=folder, checkpoints=checkpoints)
        trial = Trial(job, {**self.small, **changed})
        try:
            options = _watched(self.module.Options, trial)
            result = self.module.train(job, options, _Recording(trial, stop_at))
            told = contract.checked(result, job)
            trial.result = TrainingResult(Path(told["folder"]), told["is_adapter"], told["steps"], told["metrics"])
        except (KeyboardInterrupt, contract.Stopped):
            raise
        except BaseException as error:
            trial.error = error
        kept = (folder / "checkpoints").glob("checkpoint-*")
        trial.checkpoints = sorted(int(path.name.removeprefix("checkpoint-")) for path in kept)
        self._leave_what_was_imported_alone()
        return trial

    def _leave_what_was_imported_alone(self) -> None:
        """Libraries collect garbage in each training; going through all that was imported is half of a trial's time."""
        if not self._left_alone:
            gc.collect()
            gc.freeze()
            self._left_alone = True

    def told(self, error: BaseException | None) -> str:
        """An error in the words that a run would end with, and its place."""
        folder = Path(self.module.__file__).parent
        failed = contract.failure(error or RuntimeError("no result"), folder)
        return f"{failed['words'].rstrip('.')} ({failed['place']})"


class _Recording:
    """A `Progress` that writes down what it is told, and stops the run where the trial says so."""

    def __init__(self, trial: Trial, stop_at: int | None) -> None:
        self._trial = trial
        self._stop_at = stop_at

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        numbers = {str(name): float(value) for name, value in metrics.items()}
        self._trial.steps.append((int(step), int(total), numbers))
        if self._stop_at is not None and step >= self._stop_at:
            raise Stop


def _watched(model: type[BaseModel], trial: Trial) -> BaseModel:
    """The options as `train` gets them; what is read of them is written down, whether it is declared or not."""

    class Watched(model):  # type: ignore[misc,valid-type]  # made of a model that is known at run time
        def __getattribute__(self, name: str) -> Any:
            if name in model.model_fields:
                trial.read.add(name)
            elif name in ("model_dump", "model_dump_json", "model_copy", "__iter__"):
                trial.read.update(model.model_fields)
            return super().__getattribute__(name)

        def __getattr__(self, name: str) -> Any:
            if not name.startswith("_"):
                trial.unknown.add(name)
            return super().__getattr__(name)

    Watched.__name__ = Watched.__qualname__ = model.__name__
    options = Watched.model_validate(dict(trial.values))
    trial.read.clear()
    trial.unknown.clear()
    return cast(BaseModel, options)


def few(values: Sequence[object]) -> str:
    """The first few of them, in words."""
    return ", ".join(str(value) for value in values[:5]) + (", …" if len(values) > 5 else "")
