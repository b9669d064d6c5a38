"""Metrics files that grow are read once, and right."""

import json
from pathlib import Path

from adapters.run_files.lines_told import LinesTold


def line(step: int, loss: float = 1.0) -> str:
    return json.dumps({"step": step, "total": 10, "loss": loss}) + "\n"


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    file, told = tmp_path / "metrics.jsonl", LinesTold()
    assert told.lines(file) == []
    file.write_text(line(1) + line(2)[:9])
    assert [one["step"] for one in told.lines(file)] == [1]
    with file.open("a") as growing:
        growing.write(line(2)[9:] + line(3))
    assert [one["step"] for one in told.lines(file)] == [1, 2, 3]
    assert told.lines(file) == told.lines(file)


def test_a_step_that_was_taken_again_counts_once(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text(line(1) + line(2, 5.0) + '{"step": 3, "to\n' + line(2, 4.0))
    assert [one["loss"] for one in LinesTold().lines(file)] == [1.0, 4.0]


def test_a_file_that_is_another_one_is_read_anew(tmp_path: Path) -> None:
    file, told = tmp_path / "metrics.jsonl", LinesTold()
    file.write_text(line(1) + line(2))
    told.lines(file)
    file.write_text(line(7))
    assert [one["step"] for one in told.lines(file)] == [7]
