"""The store that the settings name."""

from domain.audit.event_log import EventLog
from infra.settings import Settings


def open_log(settings: Settings) -> EventLog:
    """The event log in that store, whose tables are there."""
    if settings.database_url:
        from adapters.store.postgres_log import PostgresStore
        from adapters.store.postgres_views import PostgresViews

        postgres = PostgresStore(settings.database_url)
        return EventLog(postgres, views=PostgresViews(postgres.datastore))
    from adapters.store.sqlite_log import LOCK_TIMEOUT_S, SQLiteStore
    from adapters.store.sqlite_views import SQLiteViews

    views = SQLiteViews(settings.sqlite_file, lock_timeout_s=LOCK_TIMEOUT_S)
    return EventLog(SQLiteStore(settings.sqlite_file), views=views)
