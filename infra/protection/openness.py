"""Looks at everything that rules stand on: the one place that lists it, for `tmm doctor` and for a team's start."""

import os
import pwd
import shlex
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from domain.errors import NotTheOperator
from domain.people.openness import Lying, Opening, is_closed, must_not_lie_open, opening_on
from infra.settings import CHECKOUT, Settings

SERVICES_ENVIRONMENT = Path("/etc/tmm/environment")
"""Where the unit files of infra/services find settings and passwords."""


class _Kept(NamedTuple):
    """Something that rules stand on. Of a `whole` folder everything counts that lies in it, however deep."""

    what: str
    path: Path
    secret: bool = False
    whole: bool = False


def must_be_the_operators(settings: Settings, *, thoroughly: bool = False) -> None:
    """Raise `NotTheOperator` for a user who may not look into the data folder, and in a team's installation
    `InstallationLiesOpen` where others may read or change what rules stand on.

    The code, of tens of thousands of files, and the database's roles are looked at `thoroughly` alone.
    """
    must_be_ones_own(settings)
    if settings.team:
        must_not_lie_open(openings(settings, thoroughly=thoroughly))


def must_be_ones_own(settings: Settings) -> None:
    """Raise `NotTheOperator` for a user who may not look into the data folder."""
    if (refused := not_the_operator(settings)) is not None:
        raise refused


def not_the_operator(settings: Settings) -> NotTheOperator | None:
    """What to tell a user who may not look into the data folder; None for one who may, or where there is none."""
    if (owner := _who_keeps_it_closed(settings.home)) is None:
        return None
    return NotTheOperator(
        f"The installation in {settings.home} belongs to {owner}, and you may not look into it. Its people use its "
        f"page or its HTTP API, where it has them, or ask {owner}. For an installation of your own name another data "
        "folder with TMM_HOME."
    )


def openings(settings: Settings, *, thoroughly: bool) -> list[Opening]:
    """Everything of this installation that lies open to others."""
    look = _Look(_operators(settings.home))
    found = [opening for kept in _everything(settings) for opening in look.at(kept, thoroughly=thoroughly)]
    if thoroughly and settings.database_url:
        found += _openings_of_the_database(settings.database_url)
    return list(dict.fromkeys(found))


def _everything(settings: Settings) -> Iterator[_Kept]:
    yield _Kept("the data folder", settings.home, secret=True)
    yield _Kept("the event log", settings.sqlite_file, secret=True)
    yield _Kept("Prefect's folder", settings.prefect_home, secret=True)
    yield _Kept("this installation's secrets", settings.secrets, secret=True)
    yield _Kept("the logs", settings.logs, secret=True)
    yield _Kept("the trust store", settings.trust_store, whole=True)
    yield _Kept("the licences", settings.licences, whole=True)
    yield _Kept("the keys of programs that act for people", settings.acting_keys, whole=True)
    yield _Kept("the signed states of the log", settings.checkpoints, whole=True)
    yield _Kept("the key that states of the log are signed with", settings.checkpoint_key)
    yield _Kept("the key that states of the log are signed with", settings.checkpoint_key / "private.pem", secret=True)
    yield _Kept("the settings of its services", SERVICES_ENVIRONMENT, secret=True)
    yield _Kept("Python", Path(sys.executable))
    yield _Kept("Python", Path(os.__file__).parent, whole=True)
    yield _Kept("the code", CHECKOUT, whole=True)
    if CHECKOUT not in Path(sys.prefix).parents:
        yield _Kept("the code's packages", Path(sys.prefix), whole=True)


class _Look:
    """Looks at files and folders, each once."""

    def __init__(self, operators: frozenset[int]) -> None:
        self._operators = operators
        self._seen: dict[Path, Lying] = {}

    def at(self, kept: _Kept, *, thoroughly: bool) -> Iterator[Opening]:
        """What lies open on the way to it and in it; nothing of what is not there."""
        for path in dict.fromkeys((kept.path, kept.path.resolve())):
            try:
                way = [self._lying(part) for part in (*reversed(path.parents), path)]
            except OSError:
                return
            opening = opening_on(way, what=kept.what, secret=kept.secret, operators=self._operators)
            if opening is not None:
                yield opening
                return
        if kept.whole and not any(map(is_closed, way)):
            yield from self._below(kept, path, deep=thoroughly)

    def _below(self, kept: _Kept, folder: Path, *, deep: bool) -> Iterator[Opening]:
        """The first opening below a folder, and how many there are in all."""
        first, count = None, 0
        for lying in _lying_below(str(folder), deep=deep):
            if opening := opening_on([lying], what=kept.what, operators=self._operators):
                first, count = first or opening, count + 1
        if first is not None and count == 1:
            yield first
        elif first is not None:
            command = "chmod -R go-w" if first.mended_by.startswith("chmod") else 'chown -hR "$(id -un)"'
            mend = f"{command} {shlex.quote(str(folder))}"
            yield Opening(kept.what, f"{first.words} and {count - 1} more in {folder}", mend)

    def _lying(self, path: Path) -> Lying:
        if path not in self._seen:
            found = path.lstat()
            self._seen[path] = Lying(str(path), found.st_mode, found.st_uid)
        return self._seen[path]


def _lying_below(folder: str, *, deep: bool) -> Iterator[Lying]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = entry.stat(follow_symlinks=False)
            lying = Lying(entry.path, found.st_mode, found.st_uid)
            yield lying
            if deep and entry.is_dir(follow_symlinks=False) and not is_closed(lying):
                yield from _lying_below(entry.path, deep=True)


def _operators(home: Path) -> frozenset[int]:
    """Whom nothing is kept from: the administrator, this user, and for the administrator also who owns the folder."""
    me = os.geteuid()
    owner = {home.stat().st_uid} if me == 0 and home.exists() else set()
    return frozenset({0, me} | owner)


def _who_keeps_it_closed(home: Path) -> str | None:
    """The owner of a data folder that this user may not look into; None where there is none, or they may."""
    if os.access(home, os.R_OK | os.X_OK):
        return None
    for place in (home, *home.parents):
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            found = place.stat()
            closed = place == home or not os.access(place, os.X_OK)
            return _name_of(found.st_uid) if closed and found.st_uid != os.geteuid() else None
    return None


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"the user {user}"


def _openings_of_the_database(url: str) -> Iterator[Opening]:
    from adapters.store.postgres_log import roles_that_may_change_the_log

    for role in roles_that_may_change_the_log(url):
        mend = f"psql -c 'REVOKE UPDATE, DELETE, TRUNCATE, TRIGGER ON tmm.stored_events FROM \"{role}\"'"
        yield Opening("the event log", f"the database's role {role!r} may change it", mend)
