"""Texts are recognised by how they begin, and so is what is no text."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from adapters.datasets.files.reading import read_file
from domain.errors import InvalidDataset

ROWS = [{"prompt": "你好世界" * 20, "completion": "你好" * 30} for _ in range(2)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-8", "utf-8-sig"])
def test_few_characters_of_ascii_are_enough_to_tell_an_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "mine.jsonl").write_bytes(LINES.encode(encoding))

    assert [row.fields for row in read_file(tmp_path / "mine.jsonl")] == ROWS


@pytest.mark.parametrize(
    ("contents", "called"),
    [
        (gzip.compress(LINES.encode()), "mine.jsonl.gz"),
        (bz2.compress(LINES.encode()), "mine.jsonl.bz2"),
        (lzma.compress(LINES.encode()), "mine.jsonl.xz"),
    ],
    ids=["gz", "bz2", "xz"],
)
def test_a_packed_text_without_its_suffix_is_refused_with_the_name_by_which_it_is_read(
    tmp_path: Path, contents: bytes, called: str
) -> None:
    (tmp_path / "mine.jsonl").write_bytes(contents)
    with pytest.raises(InvalidDataset, match=f"is not text, it is packed: call it {called}"):
        read_file(tmp_path / "mine.jsonl")

    (tmp_path / "mine.jsonl").rename(tmp_path / called)
    assert [row.fields for row in read_file(tmp_path / called)] == ROWS


def test_parquet_that_calls_itself_text_is_refused_with_its_suffix(tmp_path: Path) -> None:
    parquet.write_table(pa.Table.from_pylist(ROWS), tmp_path / "mine.jsonl")

    with pytest.raises(InvalidDataset, match=r"it is Parquet: call it mine\.parquet"):
        read_file(tmp_path / "mine.jsonl")


def test_a_text_that_calls_itself_packed_is_refused_with_what_to_take_off(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl.gz").write_text(LINES)

    with pytest.raises(InvalidDataset, match=r"if it is not compressed, take \.gz off its name"):
        list(read_file(tmp_path / "mine.jsonl.gz"))
