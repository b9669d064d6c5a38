"""Code of one's own as the service keeps it: a few files with one hash, which is also their address."""

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from adapters.shared.plain_files import fault_of
from adapters.shared.privacy import as_its_folder_has_it, make_as_its_folder_has_it
from domain.catalogue.method_spec import MethodCode
from domain.errors import InvalidMethod, NotFound
from domain.ports import KeptCode
from domain.secrets import shown_address

ENTRY = "method.py"
"""The file that holds `Options` and `train`."""

MOST_FILES = 200
MOST_BYTES = 5_000_000
_LEFT_OUT = {"__pycache__", "node_modules"}


@dataclass(frozen=True)
class Code:
    """The files of a method, by their path in its folder."""

    files: Mapping[str, bytes]

    @property
    def hash(self) -> str:
        """sha256 in hexadecimal over every path and content, each with its length."""
        digest = hashlib.sha256()
        for path, content in sorted(self.files.items()):
            for part in (path.encode(), content):
                digest.update(len(part).to_bytes(8, "big"))
                digest.update(part)
        return digest.hexdigest()

    @classmethod
    def read(cls, folder: Path) -> "Code":
        """The code in a folder; hidden files and caches are left out. Raises `InvalidMethod`."""
        if not (folder / ENTRY).is_file():
            raise InvalidMethod(f"{folder} has no {ENTRY}, which holds a method's Options and train.")
        files: dict[str, bytes] = {}
        size = 0
        for path in _files(folder):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink():
                raise InvalidMethod(f"{path} is a symbolic link; a method's code is kept as plain files.")
            if fault := fault_of(path):
                raise InvalidMethod(f"{fault}; a method's code is kept as plain files.")
            try:
                name.encode()
                with path.open("rb") as file:
                    files[name] = file.read(MOST_BYTES + 1)
            except UnicodeEncodeError:
                raise InvalidMethod(f"{folder} has a file whose name is not UTF-8 text: {name!r}.") from None
            except OSError as error:
                raise InvalidMethod(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from None
            size += len(files[name])
            if len(files) > MOST_FILES or size > MOST_BYTES:
                raise InvalidMethod(
                    f"{folder} has more than {MOST_FILES} files or {MOST_BYTES // 1_000_000} MB, which is more than "
                    "code. Keep data and models elsewhere, and name them as dataset and base model of a run."
                )
        return cls(files)

    def write(self, folder: Path) -> None:
        """Put the files into a folder."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def as_text(self) -> dict[str, str]:
        """The files as they are shown; what is no text is only named by its size."""
        return {name: _text(content) for name, content in sorted(self.files.items())}


class CodeStore:
    """Keeps code where the artefacts are, so that every worker has it: `<root>/code/<hash>.zip`.

    Code that passed the check has a note beside it, `<root>/code/checked/<hash of code and declaration>.json`, and code
    that no method trains with another one, `<root>/code/aside/<method>/<hash>.json`.
    `cache` is a folder of this machine for what was fetched.
    """

    def __init__(self, root: str, cache: Path, *, shared: bool = False) -> None:
        """`shared` keeps it as readable as the folder is in which the root lies."""
        self._root = f"{root.rstrip('/')}/code"
        self._cache = cache
        self._shared = shared and "://" not in root

    def keep(self, code: Code) -> str:
        """Keep the code, whole or not at all; its hash. What is there already stays as it is."""
        import fsspec

        files, root = fsspec.core.url_to_fs(self._root)
        target = f"{root}/{code.hash}.zip"
        if not files.exists(target):
            if self._shared:
                make_as_its_folder_has_it(Path(root))
            files.makedirs(root, exist_ok=True)
            fresh = f"{root}/.{code.hash}-{os.getpid()}"
            files.pipe_file(fresh, _zipped(code))
            if self._shared:
                as_its_folder_has_it(Path(fresh))
            files.mv(fresh, target)
        return code.hash

    def keep_checked(self, code: Code, declared: MethodCode) -> None:
        """Keep code that passed the check, and note what it declared: with that, and no other words, it is chosen."""
        import fsspec

        self.keep(code)
        files, note = fsspec.core.url_to_fs(self._note_of(declared))
        files.makedirs(note.rpartition("/")[0], exist_ok=True)
        files.pipe_file(note, declared.model_dump_json().encode())

    def must_be_checked(self, code: MethodCode) -> None:
        """Raise `InvalidMethod` unless this code, with what it declares, was kept after the check."""
        import fsspec

        files, root = fsspec.core.url_to_fs(self._root)
        _, note = fsspec.core.url_to_fs(self._note_of(code))
        if not files.exists(f"{root}/{code.hash}.zip"):
            fault = "is not in the artifact store"
        elif not files.exists(note):
            fault = "was not saved through the check with these backends and options"
        else:
            return
        raise InvalidMethod(
            f"code: the code {code.hash[:12]} {fault}, so no method can train with it. Save it from its folder, with: "
            "tmm custom save NAME --from FOLDER, or tmm add NAME --code FOLDER"
        )

    def _note_of(self, code: MethodCode) -> str:
        declared = json.dumps(code.model_dump(mode="json"), sort_keys=True)
        return f"{self._root}/checked/{hashlib.sha256(declared.encode()).hexdigest()}.json"

    def keep_aside(self, method: str, code: Code, *, at: datetime, by: str, broken: Sequence[str]) -> KeptCode:
        """Keep code that breaks these claims of the contract, and note for which method it was."""
        import fsspec

        kept = KeptCode(self.keep(code), at, by, tuple(broken))
        files, root = fsspec.core.url_to_fs(f"{self._root}/aside/{method}")
        if self._shared:
            make_as_its_folder_has_it(Path(root))
        files.makedirs(root, exist_ok=True)
        note = {"hash": kept.hash, "at": kept.at.isoformat(), "by": kept.by, "broken": list(kept.broken)}
        files.pipe_file(f"{root}/{kept.hash}.json", json.dumps(note).encode())
        if self._shared:
            as_its_folder_has_it(Path(root, f"{kept.hash}.json"))
        return kept

    def kept_aside(self, method: str) -> list[KeptCode]:
        """What was kept aside for a method, the oldest first."""
        import fsspec

        files, root = fsspec.core.url_to_fs(f"{self._root}/aside/{method}")
        notes = [json.loads(files.cat_file(path)) for path in files.glob(f"{root}/*.json")]
        kept = [KeptCode(n["hash"], datetime.fromisoformat(n["at"]), n["by"], tuple(n["broken"])) for n in notes]
        return sorted(kept, key=lambda code: code.at)

    def fetch(self, code_hash: str) -> Path:
        """The code as a local folder whose files have this hash. Raises `NotFound`, `InvalidMethod`."""
        folder = self._cache / code_hash
        if folder.is_dir() and Code.read(folder).hash == code_hash:
            return folder
        code = self.code(code_hash)
        self._cache.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=self._cache))
        try:
            code.write(fresh)
            shutil.rmtree(folder, ignore_errors=True)
            fresh.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another run of the same code was faster
                raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return folder

    def code(self, code_hash: str) -> Code:
        """The code of this hash. Raises `NotFound`, and `InvalidMethod` where it was changed since it was kept."""
        import fsspec

        files, root = fsspec.core.url_to_fs(self._root)
        kept = shown_address(self._root)
        try:
            content = files.cat_file(f"{root}/{code_hash}.zip")
        except FileNotFoundError:
            raise NotFound(
                f"The code {code_hash[:12]} is not in {kept}. Workers need the same TMM_ARTIFACTS as the machine "
                "where it was saved."
            ) from None
        code = Code(dict(_unzipped(content)))
        if code.hash != code_hash:
            raise InvalidMethod(f"The code {code_hash[:12]} in {kept} was changed after it was saved.")
        return code


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in _LEFT_OUT or path.suffix == ".pyc":
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        else:
            yield path


def _zipped(code: Code) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(code.files.items()):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def _unzipped(content: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist()[: MOST_FILES + 1]:
                path = PurePosixPath(entry.filename)
                if path.is_absolute() or ".." in path.parts or entry.file_size > MOST_BYTES:
                    raise InvalidMethod(f"The stored code has a file that no code has: {entry.filename[:80]!r}.")
                yield entry.filename, archive.read(entry)
    except zipfile.BadZipFile:
        raise InvalidMethod("The stored code cannot be read any more.") from None


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"({len(content)} bytes that are no text)"
