"""Tables as spreadsheets and other tools write them."""

from pathlib import Path
from typing import Any

import pytest

from adapters.datasets.files.reading import read_file
from domain.errors import InvalidDataset

ROWS = [{"prompt": "1+1=", "completion": "2"}, {"prompt": "1+2=", "completion": "3"}]


def read(folder: Path, contents: str, name: str = "mine.csv") -> list[dict[str, Any]]:
    (folder / name).write_text(contents, newline="")
    return [row.fields for row in read_file(folder / name)]


@pytest.mark.parametrize(
    "contents",
    [
        "prompt,completion,,\n1+1=,2,,\n1+2=,3,,\n",
        "prompt,completion\n1+1=,2\n,\n1+2=,3\n,\n",
        " prompt , completion\n1+1=,2\n1+2=,3\n",
        "sep=;\r\nprompt;completion\r\n1+1=;2\r\n1+2=;3\r\n",
        '"sep=\t"\nprompt\tcompletion\n1+1=\t2\n1+2=\t3\n',
    ],
    ids=["columns beside the table", "lines below it", "spaces", "what parts the cells", "the same in quotes"],
)
def test_what_spreadsheets_write_around_a_table_is_no_part_of_it(tmp_path: Path, contents: str) -> None:
    assert read(tmp_path, contents) == ROWS


def test_a_column_without_a_name_has_its_place_as_its_name(tmp_path: Path) -> None:
    assert read(tmp_path, ",prompt,completion\n0,1+1=,2\n") == [{"column 1": "0", **ROWS[0]}]


@pytest.mark.parametrize(
    ("name", "contents", "way_out"),
    [
        ("mine.csv", '{"prompt": "1+1=", "completion": "2"}\n', "holds JSON. Give it the suffix .jsonl"),
        ("mine.tsv", '[{"prompt": "1+1="}]', "holds JSON. Give it the suffix .jsonl, or .json"),
        ("mine.tsv", 'prompt\tcompletion\n"1\t2\n', "has each of its own twice"),
        ("mine.jsonl", '[{"prompt": "1+1="}, {"prompt": "1+2="}]', "one list of rows, give it the suffix .json"),
        ("mine.jsonl", '[{"role": "user", "content": "1+1="}]\n', "stands in a column: {.messages."),
    ],
)
def test_what_calls_itself_otherwise_is_refused_with_what_to_do(
    tmp_path: Path, name: str, contents: str, way_out: str
) -> None:
    with pytest.raises(InvalidDataset, match=way_out):
        read(tmp_path, contents, name)
