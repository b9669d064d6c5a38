"""What trainings made is kept whole, in a folder or wherever fsspec reaches."""

from pathlib import Path
from uuid import UUID

import fsspec
import pytest

from adapters.artifacts import Artifacts, hash_of
from domain.errors import NotFound

RUN = UUID(int=7)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    folder = tmp_path / "trained"
    (folder / "parts").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "parts" / "notes.txt").write_text("notes")
    return folder


@pytest.mark.parametrize("root", ["{tmp}/kept", "memory://kept"])
def test_what_is_stored_comes_back_the_same(root: str, trained: Path, tmp_path: Path) -> None:
    artifacts = Artifacts(root.format(tmp=tmp_path))

    address, files_hash = artifacts.store(RUN, trained)
    fetched = artifacts.fetch(address)

    assert files_hash == hash_of(trained)
    assert (fetched / "model.safetensors").read_bytes() == b"weights"
    assert (fetched / "parts" / "notes.txt").read_text() == "notes"


@pytest.mark.parametrize("root", ["{tmp}/kept", "memory://kept-again"])
def test_storing_a_run_again_replaces_what_was_there(root: str, trained: Path, tmp_path: Path) -> None:
    artifacts = Artifacts(root.format(tmp=tmp_path))
    artifacts.store(RUN, trained)
    (trained / "parts" / "notes.txt").unlink()

    address, _ = artifacts.store(RUN, trained)

    assert not (artifacts.fetch(address) / "parts" / "notes.txt").exists()


def test_the_hash_follows_names_and_contents(trained: Path) -> None:
    before = hash_of(trained)
    (trained / "model.safetensors").rename(trained / "other.safetensors")

    assert hash_of(trained) != before


def test_an_upload_that_broke_off_counts_as_absent(trained: Path) -> None:
    address, _ = Artifacts("memory://broken-off").store(RUN, trained)
    files, path = fsspec.core.url_to_fs(address)
    files.rm(f"{path}/sha256")

    with pytest.raises(NotFound, match=r"not there any more"):
        Artifacts("memory://broken-off").fetch(address)


def test_a_copy_that_breaks_off_leaves_the_one_before_and_nothing_else(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = Artifacts(str(tmp_path / "kept"))
    address, _ = artifacts.store(RUN, trained)
    unreadable = trained / "aaa"
    unreadable.symlink_to(tmp_path / "nowhere")

    with pytest.raises(Exception, match=r"nowhere|aaa"):
        artifacts.store(RUN, trained)

    assert [path.name for path in (tmp_path / "kept").iterdir()] == [str(RUN)]
    assert (Path(address) / "model.safetensors").read_bytes() == b"weights"
