"""Folders of the hub, old and new, and folders in which each part has one of its own."""

import json
from pathlib import Path

import pytest

from adapters.datasets.files.folders import TRAIN, files_of, files_to_train_on, may_be_a_dataset
from domain.errors import InvalidDataset

HASH = "a09b74b3ef9c3b56"


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps({"text": name}) + "\n")
    return folder


@pytest.mark.parametrize(
    ("names", "test"),
    [
        ((f"data/train-00000-of-00002-{HASH}.parquet", f"data/train-00001-of-00002-{HASH}.parquet"), ()),
        (("data/train-00000-of-00001.parquet",), ("data/test-00000-of-00001.parquet",)),
        (("train/0000.parquet", "train/0001.parquet"), ("test/0000.parquet",)),
        (("train/part-0.jsonl.gz", "train/part-1.jsonl.gz"), ()),
        (("train/rows-00000-of-00002.jsonl", "train/rows-00001-of-00002.jsonl"), ()),
        (("data/train/a.jsonl", "data/train/b.jsonl"), ("data/test/a.jsonl",)),
        (("train.jsonl",), ("test.jsonl",)),
    ],
)
def test_the_files_of_a_part_are_found_in_their_order(
    tmp_path: Path, names: tuple[str, ...], test: tuple[str, ...]
) -> None:
    made(tmp_path, *names, *test)

    assert files_of(tmp_path, TRAIN) == [tmp_path / name for name in names]
    assert list(files_of(tmp_path, "test")) == [tmp_path / name for name in test]
    assert may_be_a_dataset(tmp_path)


def test_a_part_that_is_not_whole_is_refused_naming_what_is_missing(tmp_path: Path) -> None:
    made(tmp_path, f"data/train-00000-of-00002-{HASH}.parquet")

    with pytest.raises(InvalidDataset, match=r"1 of the 2 files of train: .* \(train-00001-of-00002\) is missing"):
        files_to_train_on(tmp_path)


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (("my_test.jsonl", "my_train.jsonl"), "my_train.jsonl"),
        (("data/test_sft-00000-of-00001.parquet", "data/train_sft-00000-of-00001.parquet"), "data/train_sft-00000"),
        (("default/train/0000.parquet",), "default"),
        (("main/train-00000-of-00001.parquet", "other/train-00000-of-00001.parquet"), "main"),
    ],
)
def test_a_folder_without_the_part_names_what_it_has(tmp_path: Path, names: tuple[str, ...], given: str) -> None:
    made(tmp_path, *names)

    with pytest.raises(InvalidDataset) as refused:
        files_to_train_on(tmp_path)

    assert f"give {tmp_path / given}" in str(refused.value)
    assert not may_be_a_dataset(tmp_path)
