"""What a run under way reports: kept in its own folder, and told to whoever watches."""

import json
import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from domain.errors import BadResult

METRICS_FILE = "metrics.jsonl"

_LOOK_EVERY_S = 3.0


class Told(Protocol):
    """Who is told about each step."""

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None: ...


class Watcher(Told, Protocol):
    """Who is told how a run goes."""

    def phase(self, words: str) -> None:
        """What the run does beside optimiser steps."""
        ...


class RunProgress:
    """The `Progress` that trainers report to: every step becomes a line of `metrics.jsonl` in the run's folder.

    A line holds `step`, `total`, `at` (UTC) and the metrics. Raises `BadResult` when a metric is not finite, and every
    few seconds whatever `must_go_on` raises.
    """

    def __init__(self, folder: Path, told: Told, *, must_go_on: Callable[[], None] = lambda: None) -> None:
        self._file = folder / METRICS_FILE
        self._told = told
        self._must_go_on = must_go_on
        self._looked = time.monotonic()

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        numbers = {name: float(value) for name, value in metrics.items()}
        if wrong := [f"{name} is {value}" for name, value in numbers.items() if not math.isfinite(value)]:
            raise BadResult(
                f"The training went wrong at step {step} of {total}: {', '.join(wrong)}. "
                "A smaller learning rate often helps."
            )
        line = {"step": step, "total": total, "at": datetime.now(UTC).isoformat(), **numbers}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._told.step(step, total, numbers)
        if time.monotonic() - self._looked > _LOOK_EVERY_S:
            self._must_go_on()
            self._looked = time.monotonic()


def steps_told(folder: Path) -> list[dict[str, float]]:
    """The numbers of every step so far, by step; a step that was taken again after an interruption counts once."""
    return [numbers_of(told) for told in lines_told(folder)]


def numbers_of(told: Mapping[str, Any]) -> dict[str, float]:
    """What of a step can be drawn and compared."""
    return {name: value for name, value in told.items() if isinstance(value, int | float)}


def lines_told(folder: Path) -> list[dict[str, Any]]:
    """The same with `at`, the moment in which a step was told."""
    try:
        return steps_in((folder / METRICS_FILE).read_bytes())
    except FileNotFoundError:
        return []


def steps_in(contents: bytes) -> list[dict[str, Any]]:
    """The steps in the contents of a metrics file."""
    steps = {}
    for line in contents.decode("utf-8", errors="replace").splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue  # the process was killed while it wrote this line
        steps[told["step"]] = told
    return [steps[step] for step in sorted(steps)]
