"""Rows that are too many for the memory lie in a file, and are the same rows in the same order."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.datasets import Datasets, storing
from adapters.datasets.row import Located
from adapters.datasets.splitting import hold_out
from adapters.datasets.storing import fields_of, kept
from domain.errors import InvalidDataset
from infra import samples

SAMPLES = Path(samples.__file__).parent


def located(questions: Sequence[int]) -> list[Located]:
    return [Located(f"f, row {n}", {"prompt": f"{q} é", "completion": "\n" * n}) for n, q in enumerate(questions)]


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "IN_MEMORY", 100)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=60).filter(lambda all: len(set(all)) > 1), st.integers(0, 5))
def test_rows_on_disk_are_parted_as_those_in_memory(questions: list[int], seed: int) -> None:
    rows = located(questions)
    many = storing.RowsOnDisk(map(storing._line_of, rows)).whole()

    for in_memory, stored in zip(hold_out(rows, seed=seed), hold_out(many, seed=seed), strict=True):
        assert list(stored) == in_memory
        assert [stored[n] for n in range(len(stored))] == in_memory
        assert stored[1:] == in_memory[1:]
        assert stored[-1] == in_memory[-1]
        with pytest.raises(IndexError):
            stored[len(stored)]


@pytest.mark.usefixtures("on_disk")
def test_many_rows_are_kept_on_disk_and_read_by_every_process() -> None:
    rows = located(range(40))
    stored = kept(iter(rows))
    fields = fields_of(stored)

    assert isinstance(stored, storing.RowsOnDisk)
    assert list(fields) == [row.fields for row in rows]
    child = os.fork()
    if not child:
        os._exit(0 if [fields[n] for n in range(40)] == [row.fields for row in rows] else 1)
    assert [fields[n] for n in range(40)] == [row.fields for row in rows]
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.usefixtures("on_disk")
def test_a_dataset_on_disk_is_the_one_that_it_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = ["It is 2.\n#### 2" if n % 7 == 0 else str(n) for n in range(50)]
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"{n}+1", "answer": said}) + "\n" for n, said in enumerate(answers)))
    datasets = Datasets(SAMPLES)

    on_disk = datasets.load(str(file), seed=3)
    monkeypatch.setattr(storing, "IN_MEMORY", 1 << 20)
    in_memory = datasets.load(str(file), seed=3)

    assert not isinstance(on_disk.rows, list)
    assert isinstance(in_memory.rows, list)
    assert (list(on_disk.rows), list(on_disk.held_out)) == (in_memory.rows, in_memory.held_out)
    assert (on_disk.rows_hash, on_disk.held_out_hash) == (in_memory.rows_hash, in_memory.held_out_hash)


@pytest.mark.usefixtures("on_disk")
def test_a_disk_without_room_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    code = (
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from adapters.datasets import storing; from adapters.datasets.row import Located\n"
        "storing.IN_MEMORY = 100\n"
        "storing.kept(Located('f, row 1', {'text': 'a' * 500}) for _ in range(100))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], preexec_fn=limited, capture_output=True, text=True, check=False)

    assert f"{InvalidDataset.__name__}: The rows of this dataset do not fit into" in done.stderr


PEAK = """
import resource, sys
from pathlib import Path
from adapters.datasets import Datasets
dataset = Datasets(Path(sys.argv[1])).load(sys.argv[2], seed=0)
assert dataset.rows[len(dataset.rows) // 2]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, len(dataset.rows))
"""


@pytest.mark.sample("jsonl")
@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
def test_a_larger_file_needs_no_more_memory(tmp_path: Path, suffix: str) -> None:
    def peak(megabytes: int) -> int:
        file = tmp_path / f"mine.{suffix}"
        said = {"prompt": "x" * 1000, "completion": "y" * 1000}
        rows: Any = ({**said, "prompt": f"{n} {said['prompt']}"} for n in range(megabytes * 500))
        with file.open("w") as opened:
            match suffix:
                case "jsonl":
                    opened.writelines(json.dumps(row) + "\n" for row in rows)
                case "json":
                    opened.write("[" + ",\n".join(map(json.dumps, rows)) + "]")
                case _:
                    opened.write("prompt,completion\n")
                    opened.writelines(f"{row['prompt']},{row['completion']}\n" for row in rows)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(SAMPLES), str(file)], capture_output=True, text=True, check=True
        )
        return int(done.stdout.split()[0])

    assert peak(80) < peak(25) + 25
