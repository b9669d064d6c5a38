"""Folders from elsewhere hold plain files; what is none is found before it is opened: a pipe is opened for ever."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_MOST_ENTRIES = 10_000


def fault_in(folder: Path) -> str | None:
    """What in a folder, or below it, is no plain file that lies in it, as a sentence's beginning; None where all are.

    Links within the folder are as good as what they lead to, and so are those of a downloaded model to its files.
    """
    reach = reach_of(folder)
    for count, path in enumerate(_below(folder)):
        if count >= _MOST_ENTRIES:
            return f"{folder} holds more than {_MOST_ENTRIES} files"
        if fault := fault_of(path, within=reach):
            return fault
    return None


def fault_of(path: Path, *, within: Path | None = None) -> str | None:
    """Why a path is no plain file or folder to open, as a sentence's beginning; with `within`, also by leaving that."""
    try:
        if within is not None and path.is_symlink() and not path.resolve(strict=True).is_relative_to(within):
            return f"{path} is a link that leads out of its folder"
        mode = path.stat().st_mode
    except (OSError, RuntimeError):
        return f"{path} is a link that leads nowhere" if path.is_symlink() else f"{path} cannot be looked at"
    return next((f"{path} is {words}" for is_kind, words in _KINDS if is_kind(mode)), None)


def reach_of(folder: Path) -> Path:
    """The folder in which all files of this one lie: of a model that was downloaded, its part of the hub's cache."""
    folder = folder.resolve()
    return folder.parent.parent if folder.parent.name == "snapshots" else folder


def _below(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        yield from (Path(here) / name for name in (*folders, *files))
