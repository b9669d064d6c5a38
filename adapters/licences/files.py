"""Small files that somebody else may have put there: read without following, blocking or swallowing anything."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from adapters.shared.privacy import as_its_folder_has_it

LARGEST = 64 * 1024
"""Bytes. A licence for a thousand users has about 20 kB."""


class Unusable(Exception):
    """A file cannot be used. The message completes «<the file> …»."""


def read_small(path: Path, *, follow: bool) -> bytes:
    """The bytes of a regular file of at most `LARGEST` bytes. Raises `Unusable`.

    With `follow` a symbolic link is fine, as for a file that a person names; what lies in a folder that is searched
    must be the file itself.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        if not follow and os.path.islink(path):  # says False where pathlib would raise
            raise Unusable("is a symbolic link; put the file itself there")
        descriptor = os.open(path, flags)
    except OSError as error:
        raise Unusable(f"cannot be read: {(error.strerror or str(error)).lower()}") from None
    except ValueError:
        raise Unusable("cannot be read: its name is not one of a file") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unusable("is not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise Unusable(f"cannot be read: {(error.strerror or str(error)).lower()}") from None
    finally:
        os.close(descriptor)
    must_be_small(content)
    return content


def must_be_small(content: bytes) -> None:
    """Raise `Unusable` for more than `LARGEST` bytes."""
    if len(content) > LARGEST:
        raise Unusable(f"is larger than {LARGEST // 1024} kB, which none is")


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in place, as readable as its folder, whole or not at all. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        as_its_folder_has_it(Path(beside))
        Path(beside).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(beside).unlink()
        raise


def write_new(path: Path, content: bytes, *, mode: int) -> None:
    """Make a file with these permissions from its first moment on. Raises `FileExistsError`, `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
