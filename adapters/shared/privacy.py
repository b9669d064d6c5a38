"""Who may read what this process writes: its user alone, but for what a person shares on purpose."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OTHERS = 0o077
_READ_A_FILE, _READ_A_FOLDER = 0o044, 0o055

_given: int | None = None


def keep_to_oneself() -> None:
    """From here on what this process and its children write is readable by its user alone."""
    global _given  # noqa: PLW0603 -- a process has one umask, and what it was before is told by changing it
    before = os.umask(_OTHERS)
    _given = before if _given is None else _given


@contextmanager
def as_the_user_has_it(*paths: Path) -> Iterator[None]:
    """What is written here, to places that a person named, is as readable as everything else that they write."""
    if _given is None:
        yield
        return
    os.umask(_given)
    try:
        yield
    finally:
        os.umask(_OTHERS)
    for path in paths:
        _let_read(path, ~_given)


def as_its_folder_has_it(path: Path) -> None:
    """Let those who may read the folder read this file, or folder with all that is in it, as well."""
    _let_read(path, path.parent.stat().st_mode)


def make_as_its_folder_has_it(folder: Path) -> None:
    """Make a folder, and those above it that are missing, each as readable as the one that it lies in."""
    if not folder.exists():
        make_as_its_folder_has_it(folder.parent)
        folder.mkdir(exist_ok=True)
        as_its_folder_has_it(folder)


def _let_read(path: Path, allowed: int) -> None:
    for each in (path, *(path.rglob("*") if path.is_dir() else ())):
        found = each.lstat().st_mode
        wanted = _READ_A_FOLDER if stat.S_ISDIR(found) else _READ_A_FILE if stat.S_ISREG(found) else 0
        if more := wanted & allowed & ~found:
            each.chmod(stat.S_IMODE(found) | more)
