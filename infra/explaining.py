"""Errors of outside things - a database, the file system, Prefect - in our words."""

import os
from pathlib import Path

from eventsourcing.persistence import PersistenceError

from domain.errors import DatabaseUnavailable, InvalidSettings, PrefectUnavailable, TrainingMethodError
from domain.secrets import without_secrets
from infra.protection.openness import not_the_operator
from infra.settings import Settings

_PASSWORDS = ("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING")


def shown(text: str, settings: Settings) -> str:
    """What outside things said, as it may be shown, logged and kept: without the secrets of any address of ours."""
    given = [os.environ.get("PREFECT_API_URL", ""), *(f"prefect://{os.environ.get(name, '')}@" for name in _PASSWORDS)]
    ours = (settings.database_url, settings.prefect_database_url, settings.artifacts, settings.shared_checkpoints)
    return str(without_secrets(text, of=[*ours, *given]))


def explain(error: Exception, settings: Settings) -> TrainingMethodError | None:
    """The error in one or two sentences that say what to do, or None if it is none of an outside thing's."""
    if (explained := _explained(error, settings)) is not None:
        explained.args = (shown(str(explained), settings),)
    return explained


def _explained(error: Exception, settings: Settings) -> TrainingMethodError | None:
    chain = _causes(error)
    for cause in chain:
        if isinstance(cause, PermissionError) and (refused := not_the_operator(settings)) is not None:
            return refused
        if isinstance(cause, OSError) and cause.filename and _lies_in(settings.home, cause.filename):
            return InvalidSettings(
                f"TMM_HOME: the data folder {settings.home} cannot be used ({cause.strerror}: {cause.filename}). "
                "Name another folder, or make this one writable."
            )
        if (ours := _database(cause, settings)) is not None:
            return ours
    if any(_is_of(cause, "httpx") for cause in chain):
        return PrefectUnavailable(
            f"Prefect does not answer ({_one_line(chain[-1])}). Start it with: tmm up, or check PREFECT_API_URL."
        )
    return None


def _lies_in(home: Path, filename: object) -> bool:
    path = Path(os.fsdecode(filename)) if isinstance(filename, str | bytes) else home
    return path == home or home in path.parents or path in home.parents


def _database(error: BaseException, settings: Settings) -> DatabaseUnavailable | None:
    if not (_is_of(error, "sqlite3", "psycopg", "psycopg_pool") or isinstance(error, PersistenceError)):
        return None
    place = "The database that TMM_DATABASE_URL names" if settings.database_url else f"The file {settings.sqlite_file}"
    words, kind = _one_line(error), type(error).__name__
    if "no such table" in words or kind in ("UndefinedTable", "InvalidSchemaName"):
        what = "has no tables of this service yet. Create them with: tmm migrate"
    elif "not a database" in words:
        what = "is not an SQLite database. Move it away, or name another TMM_HOME."
    elif "readonly" in words or kind == "InsufficientPrivilege":
        what = f"may not be written by this user ({words})."
    elif "unable to open" in words:
        what = "cannot be opened. Check the folder and its permissions, or name another TMM_HOME."
    elif "is locked" in words or kind == "LockNotAvailable":
        what = "is busy with somebody else's change. Nothing was changed; try again."
    else:
        what = f"cannot be used now ({words})."
    return DatabaseUnavailable(f"{place} {what}")


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    # The innermost says most exactly what happened.
    return chain[::-1]


def _is_of(error: BaseException, *libraries: str) -> bool:
    return any(kind.__module__.partition(".")[0] in libraries for kind in type(error).__mro__)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
