"""Checkpoints are whole or not there, whatever happens while they are written."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.shared.training.checkpoints import FolderCheckpoints


def state(text: str):
    def write(folder: Path) -> None:
        (folder / "deep").mkdir()
        (folder / "deep" / "state").write_text(text)

    return write


def test_a_run_that_begins_has_no_checkpoint(tmp_path: Path) -> None:
    assert FolderCheckpoints(tmp_path / "none").newest() is None


def test_the_newest_is_the_one_of_the_highest_step_not_of_the_last_name(tmp_path: Path) -> None:
    checkpoints = FolderCheckpoints(tmp_path, keep=3)
    for step in (9, 10):
        checkpoints.save(step, state(str(step)))

    step, folder = checkpoints.newest() or (0, tmp_path)

    assert (step, (folder / "deep" / "state").read_text()) == (10, "10")


def test_only_the_newest_few_are_kept(tmp_path: Path) -> None:
    checkpoints = FolderCheckpoints(tmp_path, keep=2)
    for step in (1, 2, 3, 20):
        checkpoints.save(step, state("s"))

    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-3", "checkpoint-20"}


def test_a_checkpoint_that_fails_to_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    checkpoints = FolderCheckpoints(tmp_path)
    checkpoints.save(1, state("first"))

    def fails(folder: Path) -> None:
        (folder / "state").write_text("half")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        checkpoints.save(2, fails)

    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-1"}


def test_a_process_killed_while_it_writes_leaves_the_one_before_and_its_rest_is_removed(tmp_path: Path) -> None:
    FolderCheckpoints(tmp_path).save(1, state("first"))
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED_WHILE_WRITING, str(tmp_path)], check=False, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list(tmp_path.iterdir())) == 2

    checkpoints = FolderCheckpoints(tmp_path)
    assert checkpoints.newest() == (1, tmp_path / "checkpoint-1")

    checkpoints.save(2, state("second"))
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-1", "checkpoint-2"}


_KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from adapters.shared.training.checkpoints import FolderCheckpoints

def killed(folder):
    (folder / "state").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)

FolderCheckpoints(Path(sys.argv[1])).save(2, killed)
"""


def test_a_step_saved_twice_stays_as_it_was_first_saved(tmp_path: Path) -> None:
    checkpoints = FolderCheckpoints(tmp_path)
    checkpoints.save(1, state("first"))
    checkpoints.save(1, state("again"))

    assert (tmp_path / "checkpoint-1" / "deep" / "state").read_text() == "first"


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-notes").mkdir()
    (tmp_path / "checkpoint-7").write_text("a file")
    checkpoints = FolderCheckpoints(tmp_path)

    assert checkpoints.newest() is None
