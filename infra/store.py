"""The store's tables: whether they are there, and creating them once."""

from domain.errors import DatabaseUnavailable
from infra.settings import Settings


def create_tables(settings: Settings) -> None:
    """Create the tables that are missing, once, however many processes do so at the same moment."""
    if settings.database_url:
        from adapters.event_store.postgres import migrating
        from adapters.views import postgres as postgres_views

        with migrating(settings.database_url) as connection:
            postgres_views.migrate(connection)
    else:
        from adapters.event_store import sqlite
        from adapters.views import sqlite as sqlite_views

        with sqlite.only_one_migrates(settings.sqlite_file):
            sqlite.migrate(settings.sqlite_file)
            sqlite_views.migrate(settings.sqlite_file, lock_timeout_s=sqlite.LOCK_TIMEOUT_S)


def sqlite_is_migrated(settings: Settings) -> bool:
    """Whether the embedded store has all the tables of today's service."""
    from adapters.event_store import sqlite
    from adapters.views import sqlite as sqlite_views

    return sqlite.is_migrated(settings.sqlite_file) and sqlite_views.is_migrated(
        settings.sqlite_file, lock_timeout_s=sqlite.LOCK_TIMEOUT_S
    )


def sqlite_must_be_writable(settings: Settings) -> None:
    """Raises `DatabaseUnavailable` where the embedded store is there and this user may not change it."""
    from adapters.sqlite_files import may_write

    file = settings.sqlite_file
    if file.exists() and not may_write(file):
        raise DatabaseUnavailable(
            f"The file {file} has not the tables of today's service yet, and you may not write it. "
            "Let somebody who may run: tmm migrate"
        )
