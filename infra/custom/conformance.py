"""The conformance kit: does this training code keep the contract? Each claim is tried on the small base model.

Runs in the child process, so that the libraries are imported once for all trials. A trial is a few steps of `train`
in a fresh folder; what it reported, kept and left behind is compared with another trial's.
"""

import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast
from uuid import uuid4

from pydantic import BaseModel

from adapters.checkpoints import FolderCheckpoints
from domain.errors import BackendUnavailable, InvalidInput, TrainingMethodError, Unreachable
from domain.options import ConfigurationOption, OptionType, OptionValue, declared_options
from domain.ports import Device
from domain.training import TrainingJob, TrainingResult
from infra.custom import child
from infra.custom.touched import Touched

Verdict = Literal["kept", "broken", "not shown"]

# A few steps show everything; where a method has options of these names, they make a trial short.
SMALL: Mapping[str, OptionValue] = {
    "max_steps": 4,
    "batch_size": 8,
    "mini_batch_size": 4,
    "num_generations": 8,
    "max_completion_length": 32,
    "max_length": 64,
    "save_steps": 2,
    "learning_rate": 1e-3,
}
_STOP_AT = 3
_SLOWEST_IMPORT_S = 5.0


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


class _Stop(BaseException):
    """Ends a trial from its progress, as a cancellation does."""


class Kit:
    """One method under examination: its module, and a job to give it."""

    def __init__(self, module: Any, job: TrainingJob, touched: Touched) -> None:
        self._module = module
        self._job = job
        self._touched = touched
        self.options = declared_options(module.Options)
        self._trials: dict[frozenset[tuple[str, OptionValue]], Trial] = {}
        self._small = {
            option.name: SMALL[option.name]
            for option in self.options
            if option.name in SMALL and option.problem_with(SMALL[option.name]) is None
        }

    def findings(self) -> Iterator[tuple[str, Verdict, str]]:
        """Claim, verdict and a sentence, one after the other; a broken start leaves nothing more to try."""
        yield from self._options_are_described()
        baseline = self.trial()
        if baseline.error is not None or baseline.result is None:
            yield "it trains", "broken", self._told(baseline.error)
            return
        yield "it trains", "kept", f"{len(baseline.steps)} steps on the sample data"
        yield self._progress_rises(baseline)
        yield self._loss_is_finite(baseline)
        yield self._weights_change(baseline)
        yield self._nothing_undeclared_is_read(baseline)
        for option in self.options:
            yield self._option_is_honoured(option)
        yield self._same_seed_same_weights(baseline)
        yield self._cancel_stops_it()
        yield from self._resume_continues(baseline)
        yield self._stays_in_its_folder()
        yield self._uses_no_network()

    # Trials.

    def trial(self, **changed: OptionValue) -> Trial:
        """A trial with the small values and these; one with the same values is not run twice."""
        key = frozenset(changed.items())
        if key not in self._trials:
            self._trials[key] = self.fresh_trial(changed)
        return self._trials[key]

    def fresh_trial(
        self, changed: Mapping[str, OptionValue], *, stop_at: int | None = None, folder: Path | None = None
    ) -> Trial:
        folder = folder or self._job.folder / uuid4().hex[:8]
        folder.mkdir(exist_ok=True)
        checkpoints = FolderCheckpoints(folder / "checkpoints", keep=1000)
        job = replace(self._job, folder=folder, checkpoints=checkpoints)
        trial = Trial(job, {**self._small, **changed})
        try:
            options = _watched(self._module.Options, trial)
            result = self._module.train(job, options, _Recording(trial, stop_at))
            told = child.checked(result, job)
            trial.result = TrainingResult(Path(told["folder"]), told["is_adapter"], told["steps"], told["metrics"])
        except (KeyboardInterrupt, child.Stopped):
            raise
        except BaseException as error:
            trial.error = error
        kept = (folder / "checkpoints").glob("checkpoint-*")
        trial.checkpoints = sorted(int(path.name.removeprefix("checkpoint-")) for path in kept)
        return trial

    def _told(self, error: BaseException | None) -> str:
        folder = Path(self._module.__file__).parent
        failed = child.failure(error or RuntimeError("no result"), folder)
        return f"{failed['words'].rstrip('.')} ({failed['place']})"

    # Claims.

    def _options_are_described(self) -> Iterator[tuple[str, Verdict, str]]:
        for option in self.options:
            claim = f"option {option.name} is described"
            if option.type in (OptionType.NUMBER, OptionType.INTEGER) and None in (option.minimum, option.maximum):
                yield claim, "broken", "give it a smallest and a largest value: Field(…, ge=…, le=…)"
            elif _changes(self._module.Options, option.name) is None:
                what = 'json_schema_extra=changes("weights")'
                yield claim, "broken", f"say what it visibly changes: Field(…, {what})"
            else:
                yield claim, "kept", f"default {option.default}" + (f", {option.limits}" if option.limits else "")

    def _progress_rises(self, trial: Trial) -> tuple[str, Verdict, str]:
        claim = "progress is reported and rises"
        steps = [step for step, _, _ in trial.steps]
        if not steps:
            return claim, "broken", "progress.step was never called; call it after each optimiser step"
        if steps != list(range(steps[0], steps[0] + len(steps))) or steps[0] != 1:
            return claim, "broken", f"the steps must be 1, 2, 3 and so on, not {_few(steps)}"
        totals = {total for _, total, _ in trial.steps}
        if totals != {steps[-1]}:
            return claim, "broken", f"the total must be the number of steps throughout, not {_few(sorted(totals))}"
        assert trial.result is not None
        if trial.result.steps != steps[-1]:
            return claim, "broken", f"the result says {trial.result.steps} steps, and {steps[-1]} were reported"
        return claim, "kept", f"1 to {steps[-1]}"

    def _loss_is_finite(self, trial: Trial) -> tuple[str, Verdict, str]:
        claim = "what is reported is finite"
        if not trial.steps or not all(metrics for _, _, metrics in trial.steps):
            return (
                claim,
                "broken",
                "no step was reported, or one without any metric; give at least the loss or the reward",
            )
        for step, _, metrics in trial.steps:
            for name, value in metrics.items():
                if not math.isfinite(value):
                    return claim, "broken", f"{name} is {value} at step {step}"
        return claim, "kept", ", ".join(trial.steps[-1][2])

    def _weights_change(self, trial: Trial) -> tuple[str, Verdict, str]:
        """The result opens, and what it thinks of held-out rows is not what the base model thinks of them."""
        from adapters.evaluation import opened

        claim = "the result opens and is not the base model"
        assert trial.result is not None
        rows = [{"text": child_text(row)} for row in self._job.held_out[:4]]
        device = Device(self._job.device, "")
        try:
            with opened(self._job.base_model, None, device=device, is_adapter=False) as model:
                before = model.log_likelihoods(rows)
            with opened(
                self._job.base_model, trial.result.folder, device=device, is_adapter=trial.result.is_adapter
            ) as model:
                if not model.says:
                    model.values(rows)
                    return claim, *self._scores_are_learned(trial.result)
                after = model.log_likelihoods(rows)
        except BackendUnavailable:
            raise
        except Exception as error:
            return claim, "broken", f"it cannot be opened: {type(error).__name__}: {str(error)[:300]}"
        if before == after:
            return claim, "broken", "training did not change a single weight"
        return claim, "kept", "an adapter on the base model" if trial.result.is_adapter else "a model of its own"

    def _scores_are_learned(self, result: TrainingResult) -> tuple[Verdict, str]:
        """A reward model finds nothing likely, so the weights that it shares with the base model are compared."""
        from safetensors.torch import load_file

        def weights(folder: Path) -> dict[str, Any]:
            files = sorted(folder.glob("*.safetensors"))
            return {name: tensor for file in files for name, tensor in load_file(file).items()}

        base, learned = weights(Path(self._job.base_model)), weights(result.folder)
        shared = base.keys() & learned.keys()
        if not shared:
            return "not shown", "a reward model that shares no weight with the base model to compare"
        if all(base[name].equal(learned[name]) for name in shared):
            return "broken", "training did not change a single weight"
        return "kept", "a reward model"

    def _nothing_undeclared_is_read(self, trial: Trial) -> tuple[str, Verdict, str]:
        claim = "only declared options are read"
        if trial.unknown:
            return claim, "broken", f"train asks the options for {', '.join(sorted(trial.unknown))}"
        return claim, "kept", f"{len(trial.read)} of {len(self.options)} were read"

    def _option_is_honoured(  # noqa: PLR0911 -- one return a way to break it
        self, option: ConfigurationOption
    ) -> tuple[str, Verdict, str]:
        claim = f"option {option.name} is honoured"
        declared = _changes(self._module.Options, option.name)
        if declared is None:
            return claim, "broken", "it does not say what it visibly changes"
        what, beside = declared["changes"], cast(dict[str, OptionValue], declared.get("beside") or {})
        present = {**self._small, **beside}.get(option.name, option.default)
        other = declared.get("tried") if declared.get("tried") is not None else another_value(option, present)
        if other is None:
            return claim, "broken", "name a second value to try: changes(…, tried=…)"
        if (problem := option.problem_with(other)) is not None:
            return claim, "broken", f"the value to try is none: {problem}"
        one, two = self.trial(**beside), self.trial(**(beside | {option.name: other}))
        if one.error is None and isinstance(two.error, InvalidInput | Unreachable):
            return claim, "not shown", f"{other} cannot be tried here: {two.error}"
        for trial in (one, two):
            if trial.error is not None:
                return claim, "broken", f"with {_set(trial.values, option.name)}: {self._told(trial.error)}"
        if option.name not in two.read:
            return claim, "broken", "train never reads it"
        if what == "memory":
            return claim, "not shown", f"{present} and {other} both train; that it saves memory is taken at its word"
        if one.seen(what) == two.seen(what):
            return claim, "broken", f"{present} and {other} give the same {what}"
        return claim, "kept", f"{present} and {other} give other {what}"

    def _same_seed_same_weights(self, baseline: Trial) -> tuple[str, Verdict, str]:
        claim = "the same seed gives the same weights"
        again = self.fresh_trial({})
        if again.error is not None:
            return claim, "broken", self._told(again.error)
        if again.weights != baseline.weights:
            return claim, "broken", "two runs with one seed ended with other weights; draw everything from job.seed"
        return claim, "kept", "two runs, the same bytes"

    def _cancel_stops_it(self) -> tuple[str, Verdict, str]:
        claim = "cancelling stops it"
        stopped = self.fresh_trial({}, stop_at=2)
        if not isinstance(stopped.error, _Stop):
            how = "went on to its end" if stopped.error is None else f"ended with {self._told(stopped.error)}"
            return claim, "broken", f"stopped at step 2 it {how}; let what progress.step raises through"
        if len(stopped.steps) > 2:
            return claim, "broken", f"stopped at step 2 it took {len(stopped.steps) - 2} more"
        return claim, "kept", "stopped at step 2, no step more"

    def _resume_continues(self, baseline: Trial) -> Iterator[tuple[str, Verdict, str]]:
        claim = "a checkpoint is written and a run resumes from it"
        if not baseline.checkpoints or baseline.checkpoints[0] >= len(baseline.steps):
            words = "no checkpoint was written before the end; call job.checkpoints.save(step, write) every few steps"
            yield claim, "broken", words
            return
        first = baseline.checkpoints[0]
        broken = self.fresh_trial({}, stop_at=min(max(_STOP_AT, first + 1), len(baseline.steps)))
        if not broken.checkpoints:
            yield claim, "broken", "a run that was stopped had kept no checkpoint"
            return
        resumed = self.fresh_trial({}, folder=broken.job.folder)
        if resumed.error is not None:
            yield claim, "broken", self._told(resumed.error)
            return
        begins = resumed.steps[0][0] if resumed.steps else None
        if begins != broken.checkpoints[-1] + 1:
            words = f"from the checkpoint of step {broken.checkpoints[-1]} it went on with step {begins}"
            yield claim, "broken", words
            return
        yield claim, "kept", f"stopped after step {len(broken.steps)}, went on with step {begins}"
        claim = "a resumed run ends with the same weights"
        if resumed.weights == baseline.weights:
            yield claim, "kept", "the same bytes as without an interruption"
        else:
            words = "keep the optimiser's state, the order of the data and the random state in the checkpoint too"
            yield claim, "broken", f"it ends with other weights than without an interruption; {words}"

    def _stays_in_its_folder(self) -> tuple[str, Verdict, str]:
        claim = "nothing is written outside the run's folder"
        if outside := self._touched.written_outside(self._job.folder):
            return claim, "broken", f"Python wrote to {_few(outside)}"
        return claim, "kept", "as far as Python sees; what libraries write by themselves is not seen"

    def _uses_no_network(self) -> tuple[str, Verdict, str]:
        claim = "no network is used"
        if self._touched.connected:
            return claim, "broken", f"Python connected to {_few(sorted(self._touched.connected))}"
        return claim, "kept", "as far as Python sees; what libraries do by themselves is not seen"


class _Recording:
    """A `Progress` that writes down what it is told, and stops the run where the trial says so."""

    def __init__(self, trial: Trial, stop_at: int | None) -> None:
        self._trial = trial
        self._stop_at = stop_at

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        numbers = {str(name): float(value) for name, value in metrics.items()}
        self._trial.steps.append((int(step), int(total), numbers))
        if self._stop_at is not None and step >= self._stop_at:
            raise _Stop


def _watched(model: type[BaseModel], trial: Trial) -> BaseModel:
    """The options as `train` gets them; what is read of them is written down, whether it is declared or not."""

    class Watched(model):  # type: ignore[misc,valid-type]
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


def _changes(model: type[BaseModel], name: str) -> dict[str, Any] | None:
    extra = model.model_fields[name].json_schema_extra
    return cast(dict[str, Any], extra) if isinstance(extra, dict) and "changes" in extra else None


def another_value(option: ConfigurationOption, present: OptionValue) -> OptionValue | None:
    """A value that is not the present one and within the limits, near enough to train and far enough to show."""
    match option.type:
        case OptionType.BOOLEAN:
            return not present
        case OptionType.CHOICE:
            return next((choice for choice in option.choices or () if choice != present), None)
        case OptionType.INTEGER:
            return _within(option, (int(present) * 2, int(present) + 1, int(present) // 2, int(present) - 1), present)
        case OptionType.NUMBER:
            value = float(present)
            return _within(option, (value * 4 or 0.1, value / 4, value + 0.1, value - 0.1), present)
    return None


def _within(option: ConfigurationOption, values: tuple[float, ...], present: OptionValue) -> OptionValue | None:
    return next((value for value in values if value != present and option.problem_with(value) is None), None)


def child_text(row: Mapping[str, Any]) -> str:
    """A row as one text, to see how likely a model finds it."""
    if "text" in row:
        return str(row["text"])
    parts = row.get("messages") or row.get("prompt")
    if isinstance(parts, list):
        return " ".join(str(message["content"]) for message in parts)
    return str(parts)


def _few(values: Any) -> str:
    shown = [str(value) for value in list(values)[:5]]
    return ", ".join(shown) + (", …" if len(list(values)) > 5 else "")


def _set(values: Mapping[str, OptionValue], name: str) -> str:
    return f"{name}={values[name]}" if name in values else "the defaults"


def check(task: Mapping[str, Any], pipe: child.Pipe) -> dict[str, Any]:
    """Tell every finding as it comes; how many are broken, and what the code declares."""
    job = child.job_from(task["job"])
    job.folder.mkdir(parents=True, exist_ok=True)
    broken = 0

    def tell(claim: str, verdict: Verdict, words: str) -> None:
        nonlocal broken
        broken += verdict == "broken"
        pipe.tell({"finding": {"claim": claim, "verdict": verdict, "words": words}})

    import_module: Callable[[], Any]
    if "module" in task:
        from importlib import import_module as imported

        import_module = lambda: imported(task["module"])  # noqa: E731
    else:
        import_module = lambda: child.load(Path(task["code"]))  # noqa: E731
    touched = Touched.from_now_on()
    began = time.monotonic()
    try:
        module = import_module()
        declared_options(module.Options)
    except BaseException as error:
        failed = child.failure(error, Path(task["code"]) if "code" in task else None)
        tell("it imports", "broken", f"{failed['words'].rstrip('.')} ({failed['place']})")
        return {"broken": broken}
    took = time.monotonic() - began
    heavy = [name for name in child.HEAVY if name in sys.modules]
    if heavy:
        tell("it imports fast", "broken", f"move the import of {', '.join(heavy)} into train")
    elif took > _SLOWEST_IMPORT_S:
        tell("it imports fast", "broken", f"importing it took {took:.1f} seconds")
    else:
        tell("it imports fast", "kept", f"{took:.2f} seconds, and nothing heavy")
    child.make_ready(job.backend)
    try:
        for claim, verdict, words in Kit(module, job, touched).findings():
            tell(claim, verdict, words)
    except TrainingMethodError as error:
        tell("it can be tried here", "broken", str(error))
    return {"broken": broken}
