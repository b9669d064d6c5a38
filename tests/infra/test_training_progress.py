"""What a run under way reports is kept, told, and checked."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from domain.errors import BadResult
from infra.run_process import end_carrier, is_carried, this_process_runs
from infra.training_progress import METRICS_FILE, RunProgress, steps_told


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


def test_whether_a_process_carries_a_run_can_be_told_from_its_folder(tmp_path: Path) -> None:
    assert is_carried(tmp_path) is None
    with this_process_runs(tmp_path):
        assert is_carried(tmp_path) is True
    assert is_carried(tmp_path) is None


CARRIER = """
import sys, time
from pathlib import Path
from infra.run_process import this_process_runs
with this_process_runs(Path(sys.argv[1])):
    print("carried", flush=True)
    time.sleep(60)
"""


def _carrier(folder: Path) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, "-c", CARRIER, str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"carried\n"
    process.stdout.close()
    return process


def test_a_killed_process_carries_its_run_no_more(tmp_path: Path) -> None:
    process = _carrier(tmp_path)
    assert is_carried(tmp_path) is True
    process.kill()
    process.wait()
    assert is_carried(tmp_path) is False


def test_another_process_with_the_same_id_is_not_taken_for_the_carrier(tmp_path: Path) -> None:
    (tmp_path / "process.json").write_text(f'{{"pid": {os.getpid()}, "began": 12345.0}}')
    assert is_carried(tmp_path) is False


def test_the_process_that_carries_a_run_can_be_ended(tmp_path: Path) -> None:
    process = _carrier(tmp_path)
    end_carrier(tmp_path)
    process.wait(10)
    assert not is_carried(tmp_path)
