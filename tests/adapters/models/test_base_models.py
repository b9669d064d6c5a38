"""Base models are found, checked and hashed."""

import shutil
from pathlib import Path

import pytest

from adapters.models import BaseModels
from domain.errors import InvalidBaseModel
from infra import samples

SAMPLES = Path(samples.__file__).parent


@pytest.fixture
def base_models() -> BaseModels:
    return BaseModels(SAMPLES)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLES / "small-base", tmp_path / "model"))


def test_a_sample_is_opened_by_its_name(base_models: BaseModels) -> None:
    opened = base_models.open("small-base")

    assert base_models.names() == ["small-base"]
    assert base_models.located("small-base") == "small-base"
    assert opened.source == str(SAMPLES / "small-base")


def test_what_the_operator_puts_into_the_folder_is_opened_by_its_name_too(copy: Path) -> None:
    base_models = BaseModels(SAMPLES, copy.parent)

    assert base_models.names() == ["model", "small-base"]
    assert base_models.located("model") == "model"
    assert base_models.open("model").source == str(copy)


def test_a_local_folder_is_located_by_its_absolute_path(
    base_models: BaseModels, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copy.parent)

    assert base_models.located("model") == str(copy)
    assert base_models.open("model").files_hash == base_models.open("small-base").files_hash


def test_the_hash_follows_the_weights_and_not_the_card(base_models: BaseModels, copy: Path) -> None:
    before = base_models.open(str(copy)).files_hash
    (copy / "README.md").write_text("changed")
    assert base_models.open(str(copy)).files_hash == before

    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert base_models.open(str(copy)).files_hash != before


@pytest.mark.parametrize(
    ("missing", "said"),
    [("config.json", "no config.json"), ("model.safetensors", "no weights"), ("tokenizer.json", "no tokenizer")],
)
def test_a_folder_that_lacks_a_part_is_refused_by_naming_it(
    base_models: BaseModels, copy: Path, missing: str, said: str
) -> None:
    (copy / missing).unlink()

    with pytest.raises(InvalidBaseModel, match=said):
        base_models.located(str(copy))


def test_a_folder_that_holds_an_adapter_is_refused_with_what_to_do(base_models: BaseModels, copy: Path) -> None:
    (copy / "config.json").rename(copy / "adapter_config.json")

    with pytest.raises(InvalidBaseModel, match=r"tmm export"):
        base_models.located(str(copy))


def test_a_broken_configuration_is_refused(base_models: BaseModels, copy: Path) -> None:
    (copy / "config.json").write_text("{")

    with pytest.raises(InvalidBaseModel, match=r"config\.json cannot be read"):
        base_models.open(str(copy))


def test_a_name_that_is_nothing_at_all_is_refused(base_models: BaseModels) -> None:
    with pytest.raises(InvalidBaseModel, match="'smol': it is none of small-base, no folder"):
        base_models.located("smol")


def test_a_file_is_no_base_model(base_models: BaseModels, copy: Path) -> None:
    with pytest.raises(InvalidBaseModel, match=r"is a file"):
        base_models.located(str(copy / "config.json"))


def test_a_hub_id_that_was_not_downloaded_is_refused_offline(base_models: BaseModels) -> None:
    assert base_models.located("nobody/nothing-here") == "nobody/nothing-here"

    with pytest.raises(InvalidBaseModel, match=r"hub cannot be reached"):
        base_models.open("nobody/nothing-here")
