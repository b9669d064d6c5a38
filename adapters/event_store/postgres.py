"""The event log in PostgreSQL, through psycopg 3."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from typing import Any, LiteralString, cast
from uuid import UUID

import psycopg
from eventsourcing.persistence import (
    ApplicationRecorder,
    IntegrityError,
    Mapper,
    Notification,
    StoredEvent,
)
from eventsourcing.postgres import (
    PostgresAggregateRecorder,
    PostgresApplicationRecorder,
    PostgresDatastore,
    PostgresFactory,
)
from eventsourcing.utils import Environment
from psycopg import Cursor
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, TupleRow, dict_row, tuple_row
from psycopg.sql import SQL

from adapters.event_store.mapper import PydanticMapper
from adapters.postgres_reading import ask_again
from domain.errors import DatabaseUnavailable
from domain.events import RecordedEvent
from domain.projections import Parts

SCHEMA = "tmm"
CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 5

# Keys of PostgreSQL's advisory locks, taken by everybody who appends or migrates. An advisory lock, unlike the
# library's table lock, needs no right to change what is stored.
APPEND_LOCK = 7_461_001
MIGRATE_LOCK = 7_461_002

_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS tmm;
CREATE TABLE IF NOT EXISTS tmm.stored_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigserial,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (originator_id, originator_version)
);
CREATE UNIQUE INDEX IF NOT EXISTS stored_events_notification_id ON tmm.stored_events (notification_id);
DO $$ BEGIN
    IF to_regtype('tmm.stored_event_uuid') IS NULL THEN
        CREATE TYPE tmm.stored_event_uuid AS (originator_id uuid, originator_version bigint, topic text, state bytea);
    END IF;
END $$;
CREATE OR REPLACE FUNCTION tmm.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the event log is never changed'; END $$;
CREATE OR REPLACE TRIGGER stored_events_are_not_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON tmm.stored_events
    FOR EACH STATEMENT EXECUTE FUNCTION tmm.refuse_change();
DO $$ BEGIN
    CREATE ROLE tmm_application NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN NULL;
END $$;
DO $$ BEGIN
    CREATE ROLE tmm_auditor NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN NULL;
END $$;
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tmm_application') THEN
        GRANT USAGE ON SCHEMA tmm TO tmm_application;
        GRANT SELECT, INSERT ON tmm.stored_events TO tmm_application;
        GRANT USAGE ON SEQUENCE tmm.stored_events_notification_id_seq TO tmm_application;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tmm_auditor') THEN
        GRANT USAGE ON SCHEMA tmm TO tmm_auditor;
    END IF;
END $$;
"""


class PostgresStore(PostgresFactory):
    """Mapper and recorder for the event log in the database at this URL. Tables are made by `migrate`."""

    def __init__(self, url: str) -> None:
        # Every setting is given here: nothing of the process's environment takes part. The library wants the
        # parts of an address by name, but a URL can say more, such as sslmode: so the pool gets it whole.
        super().__init__(
            Environment(
                "",
                {
                    "POSTGRES_DBNAME": "in the URL",
                    "POSTGRES_HOST": "in the URL",
                    "POSTGRES_PORT": "0",
                    "POSTGRES_USER": "in the URL",
                    "POSTGRES_PASSWORD": "in the URL",
                    "POSTGRES_SCHEMA": SCHEMA,
                    "POSTGRES_POOL_SIZE": "1",
                    "POSTGRES_MAX_OVERFLOW": "15",
                    "POSTGRES_CONNECT_TIMEOUT": str(CONNECT_TIMEOUT_S),
                    "POSTGRES_LOCK_TIMEOUT": str(LOCK_TIMEOUT_S),
                    "CREATE_TABLE": "n",
                },
            )
        )
        self.datastore.pool.conninfo = url
        # A page of entries is worth reading through its index: with the default price of reaching a row, PostgreSQL
        # would rather walk the table in order and drop what does not fit.
        options = f"{conninfo_to_dict(url).get('options') or ''} -c random_page_cost=1.1".strip()
        self.datastore.pool.kwargs = {"row_factory": dict_row, "application_name": "tmm", "options": options}

    def mapper(self, transcoder: object = None, mapper_class: object = None) -> Mapper[Any]:
        return PydanticMapper()

    def application_recorder(self) -> ApplicationRecorder:
        return PostgresRecorder(self.datastore)


class PostgresRecorder(PostgresApplicationRecorder):
    """Appends events, one writer at a time, each with the database's moment of its recording."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        super().__init__(datastore, events_table_name="stored_events")
        self.lock_table_statements = [
            # Whoever waited for the lock must see what was committed meanwhile.
            SQL("SET TRANSACTION ISOLATION LEVEL READ COMMITTED"),
            SQL("SET LOCAL lock_timeout = '{0}s'").format(LOCK_TIMEOUT_S),
            SQL("SELECT pg_advisory_xact_lock({0})").format(APPEND_LOCK),
        ]

    def _insert_stored_events(
        self,
        curs: Cursor[DictRow],
        stored_events: Sequence[StoredEvent],
        *,
        unchanged: dict[UUID, int] | None = None,
        **_: Any,
    ) -> None:
        self._lock_table(curs)
        for originator_id, version in (unchanged or {}).items():
            curs.execute(
                "SELECT max(originator_version) AS version FROM tmm.stored_events WHERE originator_id = %s",
                (originator_id,),
            )
            row = curs.fetchone()
            if row is None or row["version"] != version:
                raise IntegrityError(f"the stream {originator_id} is not at version {version} any more")
        PostgresAggregateRecorder._insert_stored_events(self, curs, stored_events)

    @ask_again
    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Events in the order of the log, as `RecordedEvent`s."""
        conditions: list[LiteralString] = []
        values: list[Any] = []
        if start is not None:
            conditions.append("notification_id >= %s" if inclusive_of_start else "notification_id > %s")
            values.append(start)
        if stop is not None:
            conditions.append("notification_id <= %s")
            values.append(stop)
        if topics:
            conditions.append("topic = ANY(%s)")
            values.append(list(topics))
        where: LiteralString = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        statement = SQL(
            "SELECT notification_id, originator_id, originator_version, topic, state, recorded_at "
            f"FROM tmm.stored_events {where}ORDER BY notification_id LIMIT %s"
        )
        with self.datastore.get_connection() as connection, connection.cursor() as cursor:
            cursor.execute(statement, [*values, limit], prepare=True)
            return [
                RecordedEvent(
                    id=row["notification_id"],
                    originator_id=row["originator_id"],
                    originator_version=row["originator_version"],
                    topic=row["topic"],
                    state=row["state"],
                    recorded_at=row["recorded_at"].astimezone(UTC),
                )
                for row in cursor.fetchall()
            ]

    @ask_again
    def select_parts(self, after: int, until: int, limit: int) -> Sequence[tuple[int, Parts]]:
        """What is stored of events, in the order of the log, each with its number there."""
        with (
            self.datastore.get_connection() as connection,
            connection.cursor(binary=True, row_factory=tuple_row) as cursor,
        ):
            cursor.execute(
                "SELECT notification_id, convert_to(originator_id::text, 'UTF8'), "
                "convert_to(originator_version::text, 'UTF8'), convert_to(topic, 'UTF8'), state, convert_to("
                "to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"'), 'UTF8') "
                "FROM tmm.stored_events WHERE notification_id > %s AND notification_id <= %s "
                "ORDER BY notification_id LIMIT %s",
                (after, until, limit),
                prepare=True,
            )
            return [(row[0], cast(Parts, row[1:])) for row in cursor.fetchall()]


@contextmanager
def migrating(url: str) -> "Iterator[psycopg.Connection[TupleRow]]":
    """A transaction in which the event log's table is there, and in which nobody else migrates.

    Raises `DatabaseUnavailable`.
    """
    with connected(url) as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATE_LOCK,))
        connection.execute(_SCHEMA)
        yield connection


def check_migrated(url: str) -> None:
    """Raise `DatabaseUnavailable` unless the database at this URL answers and holds an event log."""
    with connected(url) as connection:
        found = connection.execute("SELECT to_regclass('tmm.views_form')").fetchone()
        if found is None or found[0] is None:
            raise DatabaseUnavailable(
                f"The database {connection.info.dbname!r} has no tables of this service yet. "
                "Create them with: tmm migrate"
            )


def roles_that_may_change_the_log(url: str) -> list[str]:
    """Who may log in and change or remove events, by right or as a member of the owner; not this role, nor superusers.

    Raises `DatabaseUnavailable`.
    """
    with connected(url) as connection:
        found = connection.execute(
            "SELECT rolname FROM pg_roles, to_regclass('tmm.stored_events') AS log "
            "WHERE log IS NOT NULL AND rolcanlogin AND NOT rolsuper AND rolname <> current_user "
            "AND has_table_privilege(pg_roles.oid, log, 'UPDATE, DELETE, TRUNCATE, TRIGGER') ORDER BY rolname"
        )
        return [str(role) for (role,) in found]


def connected(url: str) -> "psycopg.Connection[TupleRow]":
    """One connection of its own. Raises `DatabaseUnavailable`, without the password, when none can be had."""
    try:
        return psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT_S, application_name="tmm")
    except psycopg.Error as error:
        raise DatabaseUnavailable(
            f"The database that TMM_DATABASE_URL names cannot be reached ({' '.join(str(error).split())}). "
            "Check the address and whether it is running."
        ) from error
