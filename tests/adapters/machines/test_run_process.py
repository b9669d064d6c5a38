"""Which process of this machine carries a run can be told from the run's folder."""

import os
import subprocess
import sys
from pathlib import Path

from adapters.machines.run_process import carrier_of, this_process_runs


def _lives(folder: Path) -> bool | None:
    carrier = carrier_of(folder)
    return None if carrier is None else carrier.lives


def test_whether_a_process_carries_a_run_can_be_told_from_its_folder(tmp_path: Path) -> None:
    assert carrier_of(tmp_path) is None
    with this_process_runs(tmp_path, 1):
        assert _lives(tmp_path) is True
    assert carrier_of(tmp_path) is None


CARRIER = """
import sys, time
from pathlib import Path
from adapters.machines.run_process import this_process_runs
with this_process_runs(Path(sys.argv[1]), 3):
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
    assert _lives(tmp_path) is True
    process.kill()
    process.wait()
    assert _lives(tmp_path) is False


def test_another_process_with_the_same_id_is_not_taken_for_the_carrier(tmp_path: Path) -> None:
    (tmp_path / "process.json").write_text(f'{{"attempt": 1, "pid": {os.getpid()}, "began": 12345.0}}')
    assert _lives(tmp_path) is False


def test_the_process_that_carries_a_run_can_be_ended(tmp_path: Path) -> None:
    process = _carrier(tmp_path)
    carrier = carrier_of(tmp_path)
    assert carrier is not None
    assert carrier.attempt == 3
    carrier.end()
    process.wait(10)
    assert _lives(tmp_path) is False
