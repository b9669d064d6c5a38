"""Files that people send: they lie in a temporary folder under a harmless name, and nowhere else."""

import re
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from types import TracebackType

from starlette.datastructures import FormData, UploadFile

_NOT_IN_A_NAME = re.compile(r"[^\w.-]+")


class Uploaded:
    """A file that somebody sent; use it in a `with`, which gives its path and takes it away again."""

    def __init__(self, sent: UploadFile) -> None:
        self._sent = sent
        last = PurePosixPath((sent.filename or "").replace("\\", "/")).name
        self.name = _NOT_IN_A_NAME.sub("-", last).lstrip(".-") or "dataset"
        """The name that it came with, without folders and odd characters."""

    def __enter__(self) -> Path:
        self._folder = Path(tempfile.mkdtemp(prefix="tmm-upload-"))
        path = self._folder / self.name
        with path.open("wb") as file:
            shutil.copyfileobj(self._sent.file, file, 1 << 20)
        return path

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def uploaded(form: FormData, field: str) -> Uploaded | None:
    """The file of this field; None where none was chosen."""
    sent = form.get(field)
    return Uploaded(sent) if isinstance(sent, UploadFile) and sent.filename else None


def uploaded_text(form: FormData, field: str, *, at_most: int = 100_000) -> str:
    """A small text file that was sent; empty where none was."""
    sent = form.get(field)
    if not isinstance(sent, UploadFile):
        return ""
    return sent.file.read(at_most).decode("utf-8", errors="replace")
