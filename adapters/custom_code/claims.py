"""The claims about a training as a whole: what it reports and learns, and how it stops, goes on and is repeated."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from adapters.custom_code.trials import Stop, Trial, Trials, few
from domain.errors import BackendUnavailable
from domain.ports import Device, Finding
from domain.training import Row, TrainingJob, TrainingResult

_STOP_AT = 3


class Model(Protocol):
    """A model that was opened, as far as claims look at it."""

    @property
    def says(self) -> bool: ...
    def log_likelihoods(self, rows: Sequence[Row]) -> list[tuple[float, int]]: ...
    def values(self, rows: Sequence[Row]) -> list[float]: ...


Opened = Callable[..., AbstractContextManager[Model]]
"""Opens a base model, or with the folder of a result that result: `(base_model, folder, *, device, is_adapter)`."""


def progress_rises(trial: Trial) -> Finding:
    """Steps 1, 2, 3 to the last one, which the total and the result name as well."""
    claim = "progress is reported and rises"
    steps = [step for step, _, _ in trial.steps]
    if not steps:
        return Finding(claim, "broken", "progress.step was never called; call it after each optimiser step")
    if steps != list(range(1, 1 + len(steps))):
        return Finding(claim, "broken", f"the steps must be 1, 2, 3 and so on, not {few(steps)}")
    totals = {total for _, total, _ in trial.steps}
    if totals != {steps[-1]}:
        words = f"the total must be the number of steps throughout, not {few(sorted(totals))}"
        return Finding(claim, "broken", words)
    assert trial.result is not None
    if trial.result.steps != steps[-1]:
        words = f"the result says {trial.result.steps} steps, and {steps[-1]} were reported"
        return Finding(claim, "broken", words)
    return Finding(claim, "kept", f"1 to {steps[-1]}")


def what_is_reported_is_finite(trial: Trial) -> Finding:
    """At least one number at each step, and none that is not finite."""
    claim = "what is reported is finite"
    if not trial.steps or not all(metrics for _, _, metrics in trial.steps):
        words = "no step was reported, or one without any metric; give at least the loss or the reward"
        return Finding(claim, "broken", words)
    for step, _, metrics in trial.steps:
        for name, value in metrics.items():
            if not math.isfinite(value):
                return Finding(claim, "broken", f"{name} is {value} at step {step}")
    return Finding(claim, "kept", ", ".join(trial.steps[-1][2]))


def weights_change(trial: Trial, opened: Opened) -> Finding:
    """The result opens, and what it thinks of held-out rows is not what the base model thinks of them."""
    claim = "the result opens and is not the base model"
    assert trial.result is not None
    job, result = trial.job, trial.result
    rows = [{"text": _as_text(row)} for row in job.held_out[:4]]
    device = Device(job.device, "")
    try:
        with opened(job.base_model, None, device=device, is_adapter=False) as model:
            before = model.log_likelihoods(rows)
        with opened(job.base_model, result.folder, device=device, is_adapter=result.is_adapter) as model:
            if not model.says:
                model.values(rows)
                return _scores_are_learned(claim, job, result)
            after = model.log_likelihoods(rows)
    except BackendUnavailable:
        raise
    except Exception as error:
        return Finding(claim, "broken", f"it cannot be opened: {type(error).__name__}: {str(error)[:300]}")
    if before == after:
        return Finding(claim, "broken", "training did not change a single weight")
    return Finding(claim, "kept", "an adapter on the base model" if result.is_adapter else "a model of its own")


def _scores_are_learned(claim: str, job: TrainingJob, result: TrainingResult) -> Finding:
    """A reward model finds nothing likely, so the weights that it shares with the base model are compared."""
    from safetensors.torch import load_file

    def weights(folder: Path) -> dict[str, Any]:
        files = sorted(folder.glob("*.safetensors"))
        return {name: tensor for file in files for name, tensor in load_file(file).items()}

    base, learned = weights(Path(job.base_model)), weights(result.folder)
    shared = base.keys() & learned.keys()
    if not shared:
        words = "a reward model that shares no weight with the base model to compare"
        return Finding(claim, "not shown", words)
    if all(base[name].equal(learned[name]) for name in shared):
        return Finding(claim, "broken", "training did not change a single weight")
    return Finding(claim, "kept", "a reward model")


def same_seed_same_weights(trials: Trials, baseline: Trial) -> Finding:
    """The same trial once more ends with the very same weights."""
    claim = "the same seed gives the same weights"
    again = trials.fresh({})
    if again.error is not None:
        return Finding(claim, "broken", trials.told(again.error))
    if again.weights != baseline.weights:
        words = "two runs with one seed ended with other weights; draw everything from job.seed"
        return Finding(claim, "broken", words)
    return Finding(claim, "kept", "two runs, the same bytes")


def cancel_stops_it(trials: Trials) -> Finding:
    """What `progress.step` raises ends the training there and then."""
    claim = "cancelling stops it"
    stopped = trials.fresh({}, stop_at=2)
    if not isinstance(stopped.error, Stop):
        how = "went on to its end" if stopped.error is None else f"ended with {trials.told(stopped.error)}"
        return Finding(claim, "broken", f"stopped at step 2 it {how}; let what progress.step raises through")
    if len(stopped.steps) > 2:
        return Finding(claim, "broken", f"stopped at step 2 it took {len(stopped.steps) - 2} more")
    return Finding(claim, "kept", "stopped at step 2, no step more")


def resume_continues(trials: Trials, baseline: Trial) -> Iterator[Finding]:
    """A run that was stopped goes on after its newest checkpoint, and ends as if nothing had happened."""
    claim = "a checkpoint is written and a run resumes from it"
    if not baseline.checkpoints or baseline.checkpoints[0] >= len(baseline.steps):
        words = "no checkpoint was written before the end; call job.checkpoints.save(step, write) every few steps"
        yield Finding(claim, "broken", words)
        return
    first = baseline.checkpoints[0]
    stopped = trials.fresh({}, stop_at=min(max(_STOP_AT, first + 1), len(baseline.steps)))
    if not stopped.checkpoints:
        yield Finding(claim, "broken", "a run that was stopped had kept no checkpoint")
        return
    resumed = trials.fresh({}, folder=stopped.job.folder)
    if resumed.error is not None:
        yield Finding(claim, "broken", trials.told(resumed.error))
        return
    begins = resumed.steps[0][0] if resumed.steps else None
    if begins != stopped.checkpoints[-1] + 1:
        words = f"from the checkpoint of step {stopped.checkpoints[-1]} it went on with step {begins}"
        yield Finding(claim, "broken", words)
        return
    yield Finding(claim, "kept", f"stopped after step {len(stopped.steps)}, went on with step {begins}")
    claim = "a resumed run ends with the same weights"
    if resumed.weights == baseline.weights:
        yield Finding(claim, "kept", "the same bytes as without an interruption")
    else:
        words = "keep the optimiser's state, the order of the data and the random state in the checkpoint too"
        yield Finding(claim, "broken", f"it ends with other weights than without an interruption; {words}")


def _as_text(row: Mapping[str, Any]) -> str:
    """A row as one text, to see how likely a model finds it."""
    if "text" in row:
        return str(row["text"])
    parts = row.get("messages") or row.get("prompt")
    if isinstance(parts, list):
        return " ".join(str(message["content"]) for message in parts)
    return str(parts)
