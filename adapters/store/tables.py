"""The store's tables: whether they are there, and creating them once."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from domain.clock import Clock, Time
from domain.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from adapters.store.sessions import KeptSessions


class Place(Protocol):
    """Where the store is: the database at a URL, or, where that is empty, a file of SQLite."""

    @property
    def database_url(self) -> str: ...
    @property
    def sqlite_file(self) -> Path: ...


def create_tables(place: Place) -> None:
    """Create the tables that are missing, once, however many processes do so at the same moment."""
    if place.database_url:
        from adapters.store import postgres_views, sessions
        from adapters.store.postgres_log import migrating

        with migrating(place.database_url) as connection:
            postgres_views.migrate(connection)
            sessions.migrate_postgres(connection)
    else:
        from adapters.store import sessions, sqlite_views
        from adapters.store import sqlite_log as sqlite

        with sqlite.only_one_migrates(place.sqlite_file):
            sqlite.migrate(place.sqlite_file)
            sqlite_views.migrate(place.sqlite_file, lock_timeout_s=sqlite.LOCK_TIMEOUT_S)
            sessions.migrate_sqlite(place.sqlite_file)


def kept_sessions(place: Place) -> "KeptSessions":
    """Where the sessions at the page are kept. An installation that is older than they are is brought up to them.

    Raises `DatabaseUnavailable` where the owner of PostgreSQL's tables has to do that.
    """
    from adapters.store import sessions

    if place.database_url:
        from adapters.store.postgres_log import connected

        with connected(place.database_url) as connection:
            there = sessions.is_migrated_postgres(connection)
        if not there:
            raise DatabaseUnavailable(
                "The database has no table for the sessions at the page yet. Let the owner of the tables make it with: "
                "tmm migrate"
            )
        return sessions.KeptSessions(sessions.Postgres(place.database_url))
    if not sessions.is_migrated_sqlite(place.sqlite_file):
        create_tables(place)
    return sessions.KeptSessions(sessions.SQLite(place.sqlite_file))


def made_ready(place: Place) -> bool:
    """Whether the embedded store's tables had to be made. PostgreSQL's are only looked at: `tmm migrate` makes them.

    Raises `DatabaseUnavailable`.
    """
    if place.database_url:
        _must_be_migrated(place.database_url)
        return False
    if _sqlite_is_migrated(place):
        return False
    _sqlite_must_be_writable(place)
    create_tables(place)
    return True


class LogClock:
    """Tells the time by the log that is open already, or by a look into the store at this place."""

    def __init__(self, place: Place, *, opened: Callable[[], Clock | None]) -> None:
        self._place = place
        self._opened = opened

    def time(self) -> Time:
        """Raises `DatabaseUnavailable`."""
        return (self._opened() or self._of_the_store()).time()

    def _of_the_store(self) -> Clock:
        if self._place.database_url:
            from adapters.store.postgres_log import PostgresClock

            return PostgresClock(self._place.database_url)
        from adapters.store.sqlite_log import SQLiteClock

        return SQLiteClock(self._place.sqlite_file)


def _must_be_migrated(url: str) -> None:
    from adapters.store import postgres_log as postgres
    from adapters.store import postgres_views

    with postgres.connected(url) as connection:
        log = postgres.is_migrated(connection)
        if log and postgres_views.is_migrated(connection):
            return
        name = connection.info.dbname
    if log is None:
        raise DatabaseUnavailable(
            f"The database {name!r} has no tables of this service yet. Create them with: tmm migrate"
        )
    raise DatabaseUnavailable(
        f"The tables of the database {name!r} have not the form of today's service. "
        "Let the owner of the tables bring them to it with: tmm migrate"
    )


def _sqlite_is_migrated(place: Place) -> bool:
    """Whether the embedded store has all the tables of today's service."""
    from adapters.store import sqlite_log as sqlite
    from adapters.store import sqlite_views

    return sqlite.is_migrated(place.sqlite_file) and sqlite_views.is_migrated(
        place.sqlite_file, lock_timeout_s=sqlite.LOCK_TIMEOUT_S
    )


def _sqlite_must_be_writable(place: Place) -> None:
    """Raises `DatabaseUnavailable` where the embedded store is there and this user may not change it."""
    from adapters.store.sqlite_files import may_write

    file = place.sqlite_file
    if file.exists() and not may_write(file):
        raise DatabaseUnavailable(
            f"The file {file} has not the tables of today's service yet, and you may not write it. "
            "Let somebody who may run: tmm migrate"
        )
