"""A dataset whose columns have other names is read by a mapping, in every format, or refused naming the column."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from adapters.datasets import Datasets
from adapters.datasets.columns import OURS, parse_columns
from domain.errors import InvalidDataset
from domain.ports import Dataset
from infra import samples

SAMPLES = Path(samples.__file__).parent
Rows = Sequence[Mapping[str, Any]]

FAQ = [{"id": number, "asked": f"{number}+1=", "reply": str(number + 1)} for number in range(4)]
READ = {"1+1=": "2", "0+1=": "1", "2+1=": "3", "3+1=": "4"}


def _jsonl(file: Path, rows: Rows) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _json(file: Path, rows: Rows) -> None:
    file.write_text(json.dumps({"data": list(rows)}))


def _csv(file: Path, rows: Rows) -> None:
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _parquet(file: Path, rows: Rows) -> None:
    parquet.write_table(pa.Table.from_pylist(list(rows)), file)


FORMATS: dict[str, Callable[[Path, Rows], None]] = {
    "jsonl": _jsonl,
    "json": _json,
    "csv": _csv,
    "parquet": _parquet,
}
each_format = pytest.mark.parametrize("suffix", FORMATS)


def loaded(folder: Path, rows: Rows, columns: str, *, suffix: str = "jsonl") -> Dataset:
    FORMATS[suffix](folder / f"faq.{suffix}", rows)
    return Datasets(SAMPLES).load(str(folder / f"faq.{suffix}"), seed=0, columns=columns)


def all_rows(dataset: Dataset) -> list[Mapping[str, Any]]:
    return [*dataset.rows, *dataset.held_out]


@each_format
def test_columns_are_read_by_the_names_that_the_mapping_gives_them(suffix: str, tmp_path: Path) -> None:
    dataset = loaded(tmp_path, FAQ, "prompt=asked, completion = reply", suffix=suffix)

    assert {row["prompt"]: row["completion"] for row in all_rows(dataset)} == READ
    assert {str(row["id"]) for row in all_rows(dataset)} == {"0", "1", "2", "3"}


@each_format
def test_a_column_that_is_not_there_is_refused_naming_it_and_those_that_are(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"faq\.\w+ has no column 'answr' \(it has id, asked, reply\)"):
        loaded(tmp_path, FAQ, "prompt=asked, completion=answr", suffix=suffix)


def test_the_held_out_rows_of_a_folder_are_read_by_the_same_names(tmp_path: Path) -> None:
    _jsonl(tmp_path / "train.jsonl", FAQ[:3])
    _jsonl(tmp_path / "held_out.jsonl", FAQ[3:])

    dataset = Datasets(SAMPLES).load(str(tmp_path), seed=0, columns="prompt=asked, completion=reply")

    assert [row["prompt"] for row in dataset.held_out] == ["3+1="]
    _jsonl(tmp_path / "held_out.jsonl", [{"prompt": "3+1=", "completion": "4"}])
    with pytest.raises(InvalidDataset, match=r"held_out\.jsonl has no column 'asked'"):
        Datasets(SAMPLES).load(str(tmp_path), seed=0, columns="prompt=asked, completion=reply")


def test_what_somebody_names_decides_over_columns_that_have_a_usual_name_by_chance(tmp_path: Path) -> None:
    rows = [{**row, "text": "a page", "messages": [{"role": "assistant", "content": "Hello"}]} for row in FAQ]

    dataset = loaded(tmp_path, rows, "prompt=asked, completion=reply")

    assert {row["prompt"]: row["completion"] for row in all_rows(dataset)} == READ


def test_two_columns_can_change_places(tmp_path: Path) -> None:
    rows = [{"completion": row["asked"], "prompt": row["reply"]} for row in FAQ]

    dataset = loaded(tmp_path, rows, "prompt=completion, completion=prompt")

    assert {row["prompt"]: row["completion"] for row in all_rows(dataset)} == READ


def test_cells_of_a_csv_mean_what_their_new_name_means(tmp_path: Path) -> None:
    said = json.dumps([{"role": "user", "content": "1+1="}])
    rows = [{"asked": said.replace("1+1", f"{n}+1"), "reply": "2", "good": str(n % 2 == 0)} for n in range(4)]

    dataset = loaded(tmp_path, rows, "prompt=asked, completion=reply, label=good", suffix="csv")

    assert all(isinstance(row["prompt"], list) for row in all_rows(dataset))
    assert {row["label"] for row in all_rows(dataset)} == {True, False}


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ("prompt", r"'prompt' cannot be read. Write pairs such as"),
        ("prompt=", r"'prompt=' cannot be read"),
        ("prompt=a,,completion=b", r"'' cannot be read"),
        ("question=asked, qustion=b", r"rows are not read by the name 'qustion'. Use one of messages"),
        ("prompt=asked, prompt=reply", r"'prompt' is given twice"),
    ],
)
def test_a_mapping_that_cannot_be_read_is_refused(columns: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match=complaint):
        loaded(tmp_path, FAQ, columns)


names = st.text(st.characters(exclude_characters=",=", exclude_categories=["Z", "C"]), min_size=1)


@given(st.dictionaries(st.sampled_from(OURS), names))
def test_a_mapping_is_read_back_as_it_was_written(columns: dict[str, str]) -> None:
    assert parse_columns(", ".join(f"{ours}={theirs}" for ours, theirs in columns.items())) == columns


@pytest.mark.parametrize(
    ("columns", "prompt"),
    [
        ("", [{"role": "user", "content": "Q0"}]),
        ("prompt=question, answer=answer", "Q0"),
        ("question=question, answer=answer", [{"role": "user", "content": "Q0"}]),
    ],
)
@pytest.mark.parametrize(
    ("answer", "solution", "final"),
    [
        ("He has 0 + 1.\n#### 1", "He has 0 + 1.\n#### 1", "1"),
        (r"So it is \boxed{\frac{1}{2}}.", r"So it is \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{\frac{1}{2}}", None, r"\frac{1}{2}"),
        ("#### 72", None, "72"),
        ("72", None, "72"),
    ],
)
def test_a_solution_is_a_demonstration_and_the_answer_that_it_marks(
    tmp_path: Path, columns: str, prompt: Any, answer: str, solution: str | None, final: str
) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps({"question": f"Q{n}", "answer": answer}) + "\n" for n in range(2)))

    dataset = Datasets(tmp_path).load(str(file), seed=0, columns=columns)

    row = next(row for row in [*dataset.rows, *dataset.held_out] if row["prompt"] == prompt)
    said = solution if isinstance(prompt, str) else [{"role": "assistant", "content": solution}]
    assert row == {"prompt": prompt, "answer": final} | ({"completion": said} if solution else {})


def test_among_solutions_an_answer_alone_is_a_demonstration_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    _jsonl(file, [{"prompt": "1+1=", "answer": "One and one.\n#### 2"}, {"prompt": "2+2=", "answer": "4"}])

    dataset = Datasets(SAMPLES).load(str(file), seed=0)

    assert {row["prompt"]: (row["completion"], row["answer"]) for row in (*dataset.rows, *dataset.held_out)} == {
        "1+1=": ("One and one.\n#### 2", "2"),
        "2+2=": ("4", "4"),
    }
