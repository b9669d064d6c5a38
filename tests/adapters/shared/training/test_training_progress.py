"""What a run under way reports is kept, told, and checked."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from adapters.shared.training.training_progress import METRICS_FILE, RunProgress, steps_told
from domain.errors import BadResult


class Heard:
    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        self.steps.append((step, total))


def test_every_step_is_kept_in_the_runs_folder_and_told(tmp_path: Path) -> None:
    heard = Heard()
    progress = RunProgress(tmp_path, heard)
    progress.step(1, 2, {"loss": 2})
    progress.step(2, 2, {"loss": 1.5})
    assert heard.steps == [(1, 2), (2, 2)]
    assert [step["loss"] for step in steps_told(tmp_path)] == [2.0, 1.5]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_metric_that_is_not_finite_is_a_bad_result_that_names_it(tmp_path: Path, value: float) -> None:
    heard = Heard()
    with pytest.raises(BadResult, match=r"step 3 of 9: grad_norm is"):
        RunProgress(tmp_path, heard).step(3, 9, {"loss": 1.0, "grad_norm": value})
    assert heard.steps == []


def test_a_step_that_was_taken_again_after_an_interruption_counts_once(tmp_path: Path) -> None:
    progress = RunProgress(tmp_path, Heard())
    for step, loss in [(1, 3.0), (2, 2.0), (2, 2.5), (3, 1.0)]:
        progress.step(step, 3, {"loss": loss})
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"step": 4, "lo')  # killed while it wrote
    assert [step["loss"] for step in steps_told(tmp_path)] == [3.0, 2.5, 1.0]
