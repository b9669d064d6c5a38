"""The password of the Prefect server that is started here, and the keys that sign a browser in with it once.

They are files in `<home>/secrets`, which nobody but its owner may enter. They are told to nobody on a command line,
which every user of a machine can see.
"""

import os
import secrets
import stat
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from infra.settings import Settings

_USER = "tmm"
KEY_COUNTS_FOR_S = 600


def kept_password(settings: Settings) -> str | None:
    """What opens the server that was last started here, as `user:password`.

    None before there was one, and for who may not read it: that is a stranger to Prefect.
    """
    with suppress(FileNotFoundError, PermissionError):
        return _password_file(settings).read_text(encoding="utf-8").strip() or None
    return None


def password_to_start_with(settings: Settings) -> str:
    """What shall open the server that is started now: the kept password; a new one where others could read that one."""
    folder, file = _secrets(settings), _password_file(settings)
    if (kept := kept_password(settings)) is not None and not _lies_open(file):
        return kept
    new = file.with_suffix(f".{os.getpid()}")
    new.unlink(missing_ok=True)
    password = f"{_USER}:{secrets.token_urlsafe(24)}"
    _write(new, f"{password}\n")
    new.replace(folder / file.name)
    return password


PREFECT, PAGE = "sign-in", "page-sign-in"
"""What a key signs a browser in to."""


def make_sign_in_key(settings: Settings, door: str = PREFECT) -> str:
    """A key that `spend_sign_in_key` takes once, within ten minutes, at this door."""
    folder = _keys(settings, door)
    for file in folder.iterdir():
        with suppress(FileNotFoundError):  # spent this very moment
            if not _still_counts(file):
                file.unlink()
    key = secrets.token_urlsafe(24)
    _write(folder / _kept_as(key), "")
    return key


def spend_sign_in_key(settings: Settings, key: str, door: str = PREFECT) -> bool:
    """Whether this key was made for this door within ten minutes and not spent before. From now on it is spent."""
    file = _keys(settings, door) / _kept_as(key)
    try:
        counts = _still_counts(file)
        file.unlink()  # of two who come with the same key at once, one finds it gone
    except FileNotFoundError:
        return False
    return counts


def _still_counts(file: Path) -> bool:
    return abs(time.time() - file.stat().st_mtime) <= KEY_COUNTS_FOR_S


def _kept_as(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def _password_file(settings: Settings) -> Path:
    return settings.home / "secrets" / "prefect-password"


def _keys(settings: Settings, door: str) -> Path:
    return _for_the_owner(_secrets(settings) / door)


def _secrets(settings: Settings) -> Path:
    return _for_the_owner(settings.home / "secrets")


def _for_the_owner(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _lies_open(folder):
        folder.chmod(0o700)
    return folder


def _lies_open(path: Path) -> bool:
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _write(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)
