"""Closes the data folder to the other users of the machine, where an earlier version of this service left it open."""

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from infra.settings import CHECKOUT, Settings

_OTHERS = 0o077


def close_to_others(settings: Settings, *, thoroughly: bool = False) -> None:
    """Let nobody but this user into the data folder, and read what is in it, where both are theirs.

    A folder that is closed already is not looked into, unless `thoroughly`. The folders of datasets and base models
    are people's own, and what is shared lies elsewhere.
    """
    try:
        found = settings.home.stat()
    except OSError:
        return
    if found.st_uid != os.getuid() or not (found.st_mode & _OTHERS or thoroughly):
        return
    with suppress(OSError):  # a read-only medium, for one; what lies open then is the doctor's to say
        for path in _ours(settings, found.st_mode):
            _close(path)


def _ours(settings: Settings, mode: int) -> Iterable[Path]:
    """What lies in the data folder, and the folder itself unless it serves other ends too: /tmp, a user's home."""
    home = settings.home
    holds_more = any(home in (place, *place.parents) for place in (Path(os.path.expanduser("~")), CHECKOUT))
    if holds_more or mode & stat.S_ISVTX:
        kept = {home / folder.relative_to(home).parts[0] for folder in settings.folders if home in folder.parents}
        return [*kept, *home.glob(f"{settings.sqlite_file.name}*")]
    _close_one(home)
    return [path for path in home.iterdir() if path not in (settings.datasets, settings.base_models)]


def _close(path: Path) -> None:
    _close_one(path)
    if path.is_dir() and not path.is_symlink():
        for folder, folders, files in os.walk(path):  # a folder is closed before it is looked into
            for name in (*folders, *files):
                _close_one(Path(folder, name))


def _close_one(path: Path) -> None:
    with suppress(FileNotFoundError):  # it has just been removed
        found = path.lstat()
        if found.st_mode & _OTHERS and found.st_uid == os.getuid() and not stat.S_ISLNK(found.st_mode):
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
