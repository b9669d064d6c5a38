"""Where trained models are kept: a folder, or anything that fsspec reaches."""

import hashlib
import shutil
import tempfile
from pathlib import Path
from uuid import UUID, uuid4

from adapters.shared.privacy import as_its_folder_has_it, make_as_its_folder_has_it
from domain.errors import NotFound
from domain.secrets import HIDDEN, shown_address


class Artifacts:
    """Keeps what trainings made under one URL or folder.

    The addresses that it gives are kept for ever and shown to everybody, so they hold no credentials; those of the
    root, as it is now, open them.
    """

    def __init__(self, root: str, *, shared: bool = False) -> None:
        """`shared` makes a folder that is not there yet as readable as the one that it will lie in."""
        self._root = root
        self._shared = shared

    def store(self, run_id: UUID, folder: Path) -> tuple[str, str]:
        """Keep a copy of the folder, whole or not at all; its address and the sha256 of its files.

        Storing the same run again replaces what is there.
        """
        files_hash = hash_of(folder)
        if "://" in self._root:
            return self._uploaded(run_id, folder, files_hash), files_hash
        root = Path(self._root)
        if self._shared:
            make_as_its_folder_has_it(root)
        root.mkdir(parents=True, exist_ok=True)
        target, fresh = root / str(run_id), root / f".{run_id}-{uuid4().hex[:8]}"
        try:
            shutil.copytree(folder, fresh)
            as_its_folder_has_it(fresh)
            shutil.rmtree(target, ignore_errors=True)
            fresh.rename(target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return str(target), files_hash

    def fetch(self, address: str) -> Path:
        """The artefact as a local folder; one that lies elsewhere is copied to a temporary folder first."""
        if "://" not in address:
            if not Path(address).is_dir():
                raise NotFound(f"The artefact {address} is not there any more. Make it again with: tmm rerun RUN")
            return Path(address)
        import fsspec

        files, path = fsspec.core.url_to_fs(self._opened(address))
        if not files.exists(f"{path}/{_LAST}"):
            raise NotFound(
                f"The artefact {shown_address(address)} is not there any more. Make it again with: tmm rerun RUN"
            )
        folder = Path(tempfile.mkdtemp(prefix="artefact-"))
        files.get(f"{path}/", str(folder), recursive=True)
        return folder

    def read(self, address: str, name: str) -> bytes | None:
        """One file of an artefact, without the others; None where it is not, or not any more."""
        try:
            if "://" not in address:
                return (Path(address) / name).read_bytes()
            import fsspec

            files, path = fsspec.core.url_to_fs(self._opened(address))
            return bytes(files.cat_file(f"{path}/{name}"))
        except FileNotFoundError:
            return None

    def address_of(self, run_id: UUID) -> str:
        """Where this run is kept, or would be."""
        return f"{shown_address(self._root).rstrip('/')}/{run_id}"

    def addresses(self) -> list[str]:
        """Where something was stored, whole or not."""
        if "://" not in self._root:
            root = Path(self._root)
            return [str(path) for path in root.iterdir() if not path.name.startswith(".")] if root.exists() else []
        import fsspec

        files, root = fsspec.core.url_to_fs(self._root)
        found = files.ls(root, detail=False) if files.exists(root) else []
        return [f"{shown_address(self._root).rstrip('/')}/{path.rstrip('/').rpartition('/')[2]}" for path in found]

    def discard(self, address: str) -> None:
        """Let go of what was stored there."""
        if "://" not in address:
            shutil.rmtree(address, ignore_errors=True)
            return
        import fsspec

        files, path = fsspec.core.url_to_fs(self._opened(address))
        files.rm(path, recursive=True)

    def _opened(self, address: str) -> str:
        """The address with the root's credentials. One that was kept with its own, long ago, opens by those.

        Raises `NotFound` for an address below another root, whose credentials are not known.
        """
        root = shown_address(self._root).rstrip("/")
        if address.startswith(f"{root}/"):
            return self._root.rstrip("/") + address.removeprefix(root)
        if HIDDEN in address and shown_address(address) == address:
            raise NotFound(f"The artefact {address} does not lie where TMM_ARTIFACTS leads, so it cannot be opened.")
        return address

    def _uploaded(self, run_id: UUID, folder: Path, files_hash: str) -> str:
        import fsspec

        files, root = fsspec.core.url_to_fs(self._root)
        address, target = self.address_of(run_id), f"{root.rstrip('/')}/{run_id}"
        if files.exists(target):
            files.rm(target, recursive=True)
        files.makedirs(target, exist_ok=True)
        for file in _files_of(folder):
            destination = f"{target}/{file.relative_to(folder).as_posix()}"
            files.makedirs(destination.rpartition("/")[0], exist_ok=True)
            files.put_file(str(file), destination)
        # Object stores know no renaming of folders: an artefact without this file is not whole, and counts as absent.
        files.pipe_file(f"{target}/{_LAST}", files_hash.encode())
        return address


_LAST = "sha256"


def hash_of(folder: Path) -> str:
    """sha256 over the names and contents of all files below a folder, in hexadecimal."""
    digest = hashlib.sha256()
    for file in _files_of(folder):
        with file.open("rb") as opened:
            contents = hashlib.file_digest(opened, "sha256").digest()
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + contents)
    return digest.hexdigest()


def _files_of(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())
