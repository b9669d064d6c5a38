"""The store's tables: whether they are there, and creating them once."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from domain.clock import Clock, Time
from domain.errors import DatabaseUnavailable
from infra.settings import Settings

if TYPE_CHECKING:
    from adapters.store.sessions import KeptSessions


def create_tables(settings: Settings) -> None:
    """Create the tables that are missing, once, however many processes do so at the same moment."""
    if settings.database_url:
        from adapters.store import postgres_views, sessions
        from adapters.store.postgres_log import migrating

        with migrating(settings.database_url) as connection:
            postgres_views.migrate(connection)
            sessions.migrate_postgres(connection)
    else:
        from adapters.store import sessions, sqlite_views
        from adapters.store import sqlite_log as sqlite

        with sqlite.only_one_migrates(settings.sqlite_file):
            sqlite.migrate(settings.sqlite_file)
            sqlite_views.migrate(settings.sqlite_file, lock_timeout_s=sqlite.LOCK_TIMEOUT_S)
            sessions.migrate_sqlite(settings.sqlite_file)


def kept_sessions(settings: Settings) -> "KeptSessions":
    """Where the sessions at the page are kept. An installation that is older than they are is brought up to them.

    Raises `DatabaseUnavailable` where the owner of PostgreSQL's tables has to do that.
    """
    from adapters.store import sessions

    if settings.database_url:
        from adapters.store.postgres_log import connected

        with connected(settings.database_url) as connection:
            there = sessions.is_migrated_postgres(connection)
        if not there:
            raise DatabaseUnavailable(
                "The database has no table for the sessions at the page yet. Let the owner of the tables make it with: "
                "tmm migrate"
            )
        return sessions.KeptSessions(sessions.Postgres(settings.database_url))
    if not sessions.is_migrated_sqlite(settings.sqlite_file):
        create_tables(settings)
    return sessions.KeptSessions(sessions.SQLite(settings.sqlite_file))


def made_ready(settings: Settings) -> bool:
    """Whether the embedded store's tables had to be made. PostgreSQL's are only looked at: `tmm migrate` makes them.

    Raises `DatabaseUnavailable`.
    """
    if settings.database_url:
        _must_be_migrated(settings.database_url)
        return False
    if _sqlite_is_migrated(settings):
        return False
    _sqlite_must_be_writable(settings)
    create_tables(settings)
    return True


class LogClock:
    """Tells the time by the log that is open already, or by a look into the store that the settings name."""

    def __init__(self, settings: Settings, *, opened: Callable[[], Clock | None]) -> None:
        self._settings = settings
        self._opened = opened

    def time(self) -> Time:
        """Raises `DatabaseUnavailable`."""
        return (self._opened() or self._of_the_store()).time()

    def _of_the_store(self) -> Clock:
        if self._settings.database_url:
            from adapters.store.postgres_log import PostgresClock

            return PostgresClock(self._settings.database_url)
        from adapters.store.sqlite_log import SQLiteClock

        return SQLiteClock(self._settings.sqlite_file)


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


def _sqlite_is_migrated(settings: Settings) -> bool:
    """Whether the embedded store has all the tables of today's service."""
    from adapters.store import sqlite_log as sqlite
    from adapters.store import sqlite_views

    return sqlite.is_migrated(settings.sqlite_file) and sqlite_views.is_migrated(
        settings.sqlite_file, lock_timeout_s=sqlite.LOCK_TIMEOUT_S
    )


def _sqlite_must_be_writable(settings: Settings) -> None:
    """Raises `DatabaseUnavailable` where the embedded store is there and this user may not change it."""
    from adapters.store.sqlite_files import may_write

    file = settings.sqlite_file
    if file.exists() and not may_write(file):
        raise DatabaseUnavailable(
            f"The file {file} has not the tables of today's service yet, and you may not write it. "
            "Let somebody who may run: tmm migrate"
        )
