"""Datasets of the hub, as they lie in the library's own cache after a download: no hub is within reach of the tests."""

import json
from pathlib import Path

import datasets as library
import pytest
from datasets.packaged_modules.json.json import Json

from adapters.datasets import Datasets
from domain.errors import InvalidDataset
from infra import samples

SAMPLES = Path(samples.__file__).parent


def downloaded(cache: Path, configuration: str, splits: dict[str, int], columns: tuple[str, str]) -> None:
    """The library prepares `nobody/faq`, as it does with files that it downloaded; named as it names what a hub had."""
    files = {}
    for split, rows in splits.items():
        file = cache.parent / f"{configuration}-{split}.jsonl"
        said = ({columns[0]: f"{split} {n}+1=", columns[1]: f"one more\n#### {n + 1}"} for n in range(rows))
        file.write_text("".join(json.dumps(row) + "\n" for row in said))
        files[split] = [str(file)]
    made = Json(cache_dir=str(cache), dataset_name="faq", config_name=configuration, hash="0" * 40, data_files=files)
    made.download_and_prepare()
    folder = Path(made.cache_dir)
    named = cache / "nobody___faq" / configuration / "0.0.0"
    named.mkdir(parents=True)
    folder.rename(named / folder.name)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", cache)
    monkeypatch.setattr(library.config, "HF_HUB_OFFLINE", True)
    return cache


def test_a_dataset_that_was_downloaded_is_read_by_its_id_without_a_network(cache: Path) -> None:
    downloaded(cache, "main", {"train": 10, "test": 3}, ("question", "answer"))

    dataset = Datasets(SAMPLES).load("nobody/faq", seed=0)

    assert (len(dataset.rows), len(dataset.held_out)) == (10, 3)
    assert dataset.rows[0]["prompt"] == [{"role": "user", "content": "train 0+1="}]
    assert dataset.held_out[0]["answer"] == "1"
    assert Datasets(SAMPLES).load("nobody/faq:main", seed=0).rows == dataset.rows


def test_a_split_that_is_not_used_is_told(cache: Path) -> None:
    downloaded(cache, "main", {"train": 10, "test": 3, "validation": 2}, ("question", "answer"))

    dataset = Datasets(SAMPLES).load("nobody/faq", seed=0)

    assert len(dataset.held_out) == 3
    assert dataset.remarks == ("The split validation is not used: the rows to measure with are those of test.",)


def test_without_a_split_to_measure_with_a_part_is_held_out(cache: Path) -> None:
    downloaded(cache, "main", {"train": 20}, ("question", "answer"))

    dataset = Datasets(SAMPLES).load("nobody/faq", seed=0)

    assert (len(dataset.rows), len(dataset.held_out)) == (18, 2)


def test_its_columns_are_read_by_a_mapping_or_refused_naming_them(cache: Path) -> None:
    downloaded(cache, "main", {"train": 10, "test": 3}, ("asked", "reply"))

    dataset = Datasets(SAMPLES).load("nobody/faq", seed=0, columns="question=asked, answer=reply")

    assert dataset.rows[0]["answer"] == "1"
    with pytest.raises(InvalidDataset, match=r"nobody/faq train has no column 'ask' \(it has asked, reply\)"):
        Datasets(SAMPLES).load("nobody/faq", seed=0, columns="question=ask, answer=reply")


def test_of_several_configurations_one_must_be_named(cache: Path) -> None:
    downloaded(cache, "main", {"train": 10}, ("question", "answer"))
    downloaded(cache, "hard", {"train": 30}, ("question", "answer"))

    with pytest.raises(InvalidDataset, match=r"multiple 'nobody/faq' configurations .* nobody/faq:NAME"):
        Datasets(SAMPLES).load("nobody/faq", seed=0)
    assert len(Datasets(SAMPLES).load("nobody/faq:hard", seed=0).rows) == 27
    with pytest.raises(InvalidDataset, match=r"for config 'easy'"):
        Datasets(SAMPLES).load("nobody/faq:easy", seed=0)


def test_a_dataset_without_rows_to_train_on_is_refused(cache: Path) -> None:
    downloaded(cache, "main", {"test": 3}, ("question", "answer"))

    with pytest.raises(InvalidDataset, match=r"'nobody/faq' has no split named train \(it has test\)"):
        Datasets(SAMPLES).load("nobody/faq", seed=0)
