"""Two trainings held against one another: what they were made of, what came of them, and how they went."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from domain.audit.read_models import Run
from domain.runs.training_run import Provenance
from domain.values import Value

Steps = Sequence[Mapping[str, float]]
"""What a run reported: mappings with `step` and the metrics of that step, in order."""

# Beside a metric's largest value in either run. Another order of summation alone moves the last digits of 32-bit
# numbers, and a training carries that on; what is larger than this is another training.
ROUNDING = 1e-3

_ABOUT_THE_MACHINE = ("per_second", "seconds", "time", "memory")


class Difference(Value):
    """One thing that is not the same in both; None where it is missing."""

    name: str
    one: Any
    other: Any


class Verdict(StrEnum):
    """How well two curves agree."""

    SAME = "same"
    WITHIN_ROUNDING = "within rounding"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


class Agreement(Value):
    """Whether two curves tell of the same training, and a sentence that says it."""

    verdict: Verdict
    words: str


class Measure(Value):
    """One measure on the held-out rows, before and after each of two runs; None where a run has it not."""

    name: str
    one: tuple[float | None, float | None]
    other: tuple[float | None, float | None]


class Comparison(Value):
    """All that tells two runs apart. `making` is what they were made of beside their options."""

    making: tuple[Difference, ...]
    options: tuple[Difference, ...]
    measures: tuple[Measure, ...]
    curves: Agreement
    same_weights: bool | None


def compared(one: Run, other: Run, steps_of_one: Steps, steps_of_other: Steps) -> Comparison:
    """Hold two runs against one another. Neither needs to have come to its end."""
    same_weights = None
    if one.weights_hash and other.weights_hash:
        same_weights = one.weights_hash == other.weights_hash
    return Comparison(
        making=_differences(_made_of(one), _made_of(other)),
        options=_differences(options_of(one), options_of(other)),
        measures=_measures(one, other),
        curves=agreement(steps_of_one, steps_of_other),
        same_weights=same_weights,
    )


def changed_since(then: Provenance, now: Provenance) -> tuple[Difference, ...]:
    """What is not any more as it was; packages by their names."""
    return _differences(_facts(then), _facts(now))


def options_of(run: Run) -> Mapping[str, Any]:
    """A run's options, after defaults as soon as it has started."""
    return run.options if run.options is not None else run.request.options


def agreement(one: Steps, other: Steps) -> Agreement:
    """Whether two runs reported the same at the same steps, leaving out what is measured of the machine."""
    first, second = ({told["step"]: told for told in steps} for steps in (one, other))
    if not first or not second:
        return Agreement(verdict=Verdict.UNKNOWN, words="At least one of the two reported no step.")
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return Agreement(verdict=Verdict.UNKNOWN, words="No step was reported by both.")
    names = [name for name in first[shared[0]] if name in second[shared[0]] and _is_of_the_training(name)]
    largest = {
        name: max(abs(told.get(name, 0.0)) for run in (first, second) for told in run.values()) for name in names
    }
    worst = (0.0, "", 0.0)
    for step in shared:
        for name in names:
            then, now = first[step].get(name), second[step].get(name)
            if then is None or now is None:
                continue
            apart = abs(then - now) / (largest[name] or 1.0)
            if apart > ROUNDING:
                words = f"They differ from step {step:g} on: {name} {then:.6g} and {now:.6g}."
                return Agreement(verdict=Verdict.DIFFERENT, words=words)
            worst = max(worst, (apart, name, step))
    if first.keys() != second.keys():
        words = f"They agree at the {len(shared)} steps that both reported, of {len(first)} and {len(second)}."
        return Agreement(verdict=Verdict.DIFFERENT, words=words)
    if worst[0] == 0:
        return Agreement(
            verdict=Verdict.SAME, words=f"They are the same at {_each_of(len(shared))}, to the last digit."
        )
    words = (
        f"They agree but for rounding: the largest difference is {worst[0]:.1e} of {worst[1]}, at step {worst[2]:g}."
    )
    return Agreement(verdict=Verdict.WITHIN_ROUNDING, words=words)


def _each_of(steps: int) -> str:
    return "the one step" if steps == 1 else f"each of {steps} steps"


def _is_of_the_training(metric: str) -> bool:
    return metric not in ("step", "total") and not any(word in metric for word in _ABOUT_THE_MACHINE)


def _made_of(run: Run) -> dict[str, Any]:
    request = run.request
    asked = {
        "method": request.method,
        "method version": run.method_version,
        "backend": request.backend.value,
        "base model": request.base_model,
        "dataset": request.dataset,
        "seed": request.seed,
    }
    return asked | (_facts(run.provenance) if run.provenance else {})


def _facts(provenance: Provenance) -> dict[str, Any]:
    hashes = {
        "base model's files": provenance.base_model_hash,
        "dataset's rows": provenance.dataset_hash,
        "held-out rows": provenance.held_out_hash,
        "training code": provenance.code_hash,
    }
    machine = {"device": provenance.device, "machine": provenance.machine, "python": provenance.python}
    return hashes | machine | provenance.packages


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[Difference, ...]:
    return tuple(
        Difference(name=name, one=one.get(name), other=other.get(name))
        for name in dict.fromkeys((*one, *other))
        if one.get(name) != other.get(name)
    )


def _measures(one: Run, other: Run) -> tuple[Measure, ...]:
    names = dict.fromkeys((*(one.after or one.before or {}), *(other.after or other.before or {})))
    return tuple(
        Measure(name=name, one=_before_and_after(one, name), other=_before_and_after(other, name)) for name in names
    )


def _before_and_after(run: Run, name: str) -> tuple[float | None, float | None]:
    return (run.before or {}).get(name), (run.after or {}).get(name)
