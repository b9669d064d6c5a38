"""The event log in PostgreSQL, through psycopg 3."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, LiteralString, cast
from uuid import UUID

import psycopg
from eventsourcing.persistence import (
    ApplicationRecorder,
    InterfaceError,
    Mapper,
    Notification,
    OperationalError,
    StoredEvent,
)
from eventsourcing.postgres import (
    PostgresApplicationRecorder,
    PostgresDatastore,
    PostgresFactory,
)
from eventsourcing.utils import Environment, retry
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow, dict_row, tuple_row
from psycopg.sql import SQL

from adapters.store.mapper import PydanticMapper
from adapters.store.postgres_reading import ask_again
from domain.audit.operations import ClockAccepted
from domain.audit.projections import Parts
from domain.audit.proving.verification import Numbering
from domain.clock import Time
from domain.errors import DatabaseUnavailable
from domain.events import RecordedEvent

SCHEMA = "tmm"
CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 5

IDLE_TIMEOUT_S = 3
"""Whoever waits for the log waits longer than anybody can hold it without saying anything."""

_MADE_UP_FROM = 2**62
"""Numbers from here on were made up: until the log had a head, whoever could append could also choose a number."""

_SCHEMA = f"""
CREATE SCHEMA IF NOT EXISTS tmm;
CREATE TABLE IF NOT EXISTS tmm.stored_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
);
-- One migrates at a time, and nobody appends meanwhile. Whoever may only read cannot take this lock.
LOCK TABLE tmm.stored_events IN SHARE ROW EXCLUSIVE MODE;
CREATE UNIQUE INDEX IF NOT EXISTS stored_events_notification_id ON tmm.stored_events (notification_id);
DO $$ BEGIN
    IF to_regtype('tmm.stored_event_uuid') IS NULL THEN
        CREATE TYPE tmm.stored_event_uuid AS (originator_id uuid, originator_version bigint, topic text, state bytea);
    END IF;
    IF to_regclass('tmm.stored_events_notification_id_seq') IS NOT NULL THEN
        ALTER TABLE tmm.stored_events ALTER notification_id DROP DEFAULT, ALTER recorded_at DROP DEFAULT;
        DROP SEQUENCE tmm.stored_events_notification_id_seq;
    END IF;
END $$;

-- The head of the log, one row: the newest entry's number and time, and the lock of whoever appends. Numbers have no
-- gap and time does not go back behind the number `ordered_since`, at which the log got its head.
CREATE TABLE IF NOT EXISTS tmm.log_head (
    number bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    ordered_since bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO tmm.log_head
    SELECT coalesce(max(number), 0), coalesce(max(recorded_at), 'epoch'), coalesce(max(number), 0) FROM (
        SELECT notification_id AS number, recorded_at FROM tmm.stored_events
        WHERE notification_id < {_MADE_UP_FROM} ORDER BY notification_id DESC LIMIT 1
    ) newest
    HAVING NOT EXISTS (SELECT FROM tmm.log_head);

CREATE OR REPLACE FUNCTION tmm.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the event log is never changed'; END $$;
CREATE OR REPLACE TRIGGER stored_events_are_not_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON tmm.stored_events
    FOR EACH STATEMENT EXECUTE FUNCTION tmm.refuse_change();

-- Whoever appends, the owner too, has the next number and the later of now and the newest entry's time. Only the
-- event that accepts the clock brings time back.
CREATE OR REPLACE FUNCTION tmm.take_next_number() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE tmm.log_head SET number = number + 1, recorded_at = CASE
        WHEN NEW.topic = '{ClockAccepted.TOPIC}' THEN clock_timestamp()
        ELSE greatest(recorded_at, clock_timestamp()) END
    RETURNING number, recorded_at INTO STRICT NEW.notification_id, NEW.recorded_at;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER stored_events_are_numbered BEFORE INSERT ON tmm.stored_events
    FOR EACH ROW EXECUTE FUNCTION tmm.take_next_number();

-- Appends all of these events or none, if these other streams have not moved; their numbers. One call does it all, so
-- that the head is held for nothing but the commit.
CREATE OR REPLACE FUNCTION tmm.append(
    streams uuid[], versions bigint[], topics text[], states bytea[], others uuid[], others_versions bigint[]
) RETURNS SETOF bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '{LOCK_TIMEOUT_S}s' AS $$
DECLARE
    other uuid;
    known bigint;
BEGIN
    -- Who calls this in a longer transaction, and then falls silent, loses it.
    PERFORM set_config('idle_in_transaction_session_timeout', '{IDLE_TIMEOUT_S}s', true);
    -- Whoever waited for the head sees, in the statements behind this one, what was committed meanwhile.
    PERFORM FROM tmm.log_head FOR UPDATE;
    FOR other, known IN SELECT * FROM unnest(others, others_versions) LOOP
        IF known IS DISTINCT FROM (SELECT max(originator_version) FROM tmm.stored_events WHERE originator_id = other)
        THEN
            RAISE EXCEPTION 'the stream % is not at version % any more', other, known
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END LOOP;
    RETURN QUERY INSERT INTO tmm.stored_events (originator_id, originator_version, topic, state)
        SELECT * FROM unnest(streams, versions, topics, states) RETURNING notification_id;
END $$;
REVOKE ALL ON FUNCTION tmm.append FROM PUBLIC;

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
        REVOKE INSERT ON tmm.stored_events FROM tmm_application;
        GRANT SELECT ON tmm.stored_events, tmm.log_head TO tmm_application;
        GRANT EXECUTE ON FUNCTION tmm.append TO tmm_application;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tmm_auditor') THEN
        GRANT USAGE ON SCHEMA tmm TO tmm_auditor;
        GRANT SELECT ON tmm.stored_events, tmm.log_head TO tmm_auditor;
    END IF;
END $$;
"""

_FIRST_ONES = 5
"""So many may make the schema at the same moment, each of whom has to see that another one did."""

_APPEND = SQL(
    "SELECT number FROM tmm.append(%s::uuid[], %s::bigint[], %s::text[], %s::bytea[], %s::uuid[], %s::bigint[]) number"
)


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
        # A waiting writer must see what was committed meanwhile, and none that fell silent may be waited for.
        settings = (
            "-c random_page_cost=1.1",
            "-c default_transaction_isolation=read\\ committed",
            f"-c idle_in_transaction_session_timeout={IDLE_TIMEOUT_S}s",
        )
        options = " ".join((str(conninfo_to_dict(url).get("options") or ""), *settings)).strip()
        self.datastore.pool.kwargs = {"row_factory": dict_row, "application_name": "tmm", "options": options}

    def mapper(self, transcoder: object = None, mapper_class: object = None) -> Mapper[Any]:
        return PydanticMapper()

    def application_recorder(self) -> ApplicationRecorder:
        return PostgresRecorder(self.datastore)


class PostgresRecorder(PostgresApplicationRecorder):
    """Appends events, one writer at a time, each with the number and the time that the log's head gives it."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        super().__init__(datastore, events_table_name="stored_events")

    @retry((InterfaceError, OperationalError), max_attempts=10, wait=0.2)
    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        unchanged: dict[UUID, int] | None = None,
        **_: Any,
    ) -> Sequence[int] | None:
        """One statement, which is a transaction: no answer is waited for while the log's head is held."""
        if not stored_events:
            return None
        rows = [(each.originator_id, each.originator_version, each.topic, each.state) for each in stored_events]
        others = unchanged or {}
        with self.datastore.get_connection() as connection, connection.cursor() as cursor:
            values = [*map(list, zip(*rows, strict=True)), list(others), list(others.values())]
            cursor.execute(_APPEND, values, prepare=True)
            return [row["number"] for row in cursor.fetchall()]

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
        # What stands beyond the head was not appended: it must not hide what will be.
        conditions: list[LiteralString] = ["notification_id <= (SELECT number FROM tmm.log_head)"]
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
        statement = SQL(
            "SELECT notification_id, originator_id, originator_version, topic, state, recorded_at "
            f"FROM tmm.stored_events WHERE {' AND '.join(conditions)} ORDER BY notification_id LIMIT %s"
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
    def max_notification_id(self) -> int | None:
        """The newest entry's number, 0 when there is none."""
        with self.datastore.get_connection() as connection, connection.cursor(row_factory=tuple_row) as cursor:
            row = cursor.execute("SELECT number FROM tmm.log_head").fetchone()
            return row[0] if row else None

    @ask_again
    def time(self) -> Time:
        """What time it is, by the server's clock and by the newest entry."""
        with self.datastore.get_connection() as connection:
            return time_in(connection)

    @ask_again
    def numbering(self) -> Numbering:
        """How the log is numbered, and what stands beyond its head."""
        with self.datastore.get_connection() as connection, connection.cursor(row_factory=tuple_row) as cursor:
            row = cursor.execute(
                "SELECT ordered_since, number, "
                "coalesce((SELECT max(notification_id) FROM tmm.stored_events WHERE notification_id <= number), 0), "
                "(SELECT count(*) FROM tmm.stored_events WHERE notification_id > number) FROM tmm.log_head"
            ).fetchone()
            assert row is not None
            return Numbering(*row)

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
    """A transaction in which the event log's tables are there, and in which nobody else migrates.

    Raises `DatabaseUnavailable`.
    """
    with connected(url) as connection, connection.transaction():
        _make_tables(connection)
        yield connection


def _make_tables(connection: "psycopg.Connection[TupleRow]") -> None:
    for attempt in range(_FIRST_ONES):
        try:
            with connection.transaction():
                connection.execute(_SCHEMA)
            return
        except psycopg.errors.UniqueViolation:
            # Somebody else made the schema at the same moment; with theirs, the table's lock orders the rest.
            if attempt == _FIRST_ONES - 1:
                raise


def is_migrated(connection: "psycopg.Connection[TupleRow]") -> bool | None:
    """Whether this database holds an event log of today's form; None if it holds none at all."""
    found = connection.execute("SELECT to_regclass('tmm.stored_events'), to_regclass('tmm.log_head')").fetchone()
    assert found is not None
    return None if found[0] is None else found[1] is not None


class PostgresClock:
    """Tells the time by the database's clock and the log's newest entry, through a connection of its own each time."""

    def __init__(self, url: str) -> None:
        self._url = url

    def time(self) -> Time:
        """Raises `DatabaseUnavailable`."""
        try:
            with connected(self._url) as connection:
                return time_in(connection)
        except psycopg.errors.UndefinedTable:
            return Time.of_this_machine()  # no log, so nothing to do that ends with time
        except psycopg.Error as error:
            raise DatabaseUnavailable(
                f"The time of the log cannot be read ({' '.join(str(error).split())})."
            ) from error


def time_in(connection: "psycopg.Connection[Any]") -> Time:
    """What time it is, by the server's clock and by the newest entry."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute("SELECT clock_timestamp(), recorded_at, number FROM tmm.log_head").fetchone()
    assert row is not None
    store, newest, number = row
    return Time(
        machine=datetime.now(UTC), store=store.astimezone(UTC), newest=newest.astimezone(UTC) if number else None
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
