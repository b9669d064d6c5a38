"""What trainings made is kept whole, in a folder or wherever fsspec reaches."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from adapters.artifacts.artifact_store import Artifacts, hash_of
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


class Vault(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A storage that opens to `key:secret` in its address alone, as S3 and SFTP do."""

    protocol = "vault"
    cachable = False
    store: dict[str, Any] = {}  # noqa: RUF012 -- as the class above has it
    pseudo_dirs = [""]  # noqa: RUF012
    opens_to = "k3y:s3cr/et#1"

    def __init__(self, given: str = "", **more: Any) -> None:
        if given != self.opens_to:
            raise PermissionError(f"vault://{given}@bucket refused {given}")
        super().__init__(**more)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.rpartition("@")[2].removeprefix("vault://").strip("/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        return {"given": path.removeprefix("vault://").rpartition("@")[0]}


@pytest.fixture
def vault() -> Iterator[str]:
    """The address of an empty folder in the vault, with what opens it."""
    fsspec.register_implementation("vault", Vault, clobber=True)
    yield f"vault://{Vault.opens_to}@bucket/{uuid4()}"
    Vault.store.clear()


def test_an_address_that_is_kept_for_ever_holds_no_credentials_and_opens_all_the_same(
    vault: str, trained: Path
) -> None:
    artifacts = Artifacts(vault)
    address, _ = artifacts.store(RUN, trained)
    assert address == f"vault://…@{vault.rpartition('@')[2]}/{RUN}"
    assert artifacts.address_of(RUN) == address
    assert artifacts.addresses() == [address]
    assert (artifacts.fetch(address) / "model.safetensors").read_bytes() == b"weights"
    assert artifacts.read(address, "parts/notes.txt") == b"notes"
    artifacts.discard(address)
    with pytest.raises(NotFound) as gone:
        artifacts.fetch(address)
    assert "s3cr" not in str(gone.value)


def test_an_address_opens_with_the_credentials_of_today(vault: str, trained: Path) -> None:
    address, _ = Artifacts(vault).store(RUN, trained)
    Vault.opens_to, before = "another:key", Vault.opens_to
    try:
        today = Artifacts(vault.replace(before, Vault.opens_to))
        assert (today.fetch(address) / "model.safetensors").read_bytes() == b"weights"
    finally:
        Vault.opens_to = before


def test_an_address_that_was_once_kept_whole_still_opens(vault: str, trained: Path) -> None:
    Artifacts(vault).store(RUN, trained)
    elsewhere = Artifacts("memory://another-root")
    assert (elsewhere.fetch(f"{vault}/{RUN}") / "model.safetensors").read_bytes() == b"weights"
    with pytest.raises(NotFound, match="does not lie where TMM_ARTIFACTS leads"):
        elsewhere.fetch(Artifacts(vault).address_of(RUN))
