"""The read models in the PostgreSQL database that holds the event log."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from functools import cached_property
from typing import Any, cast

import psycopg
from eventsourcing.postgres import PostgresDatastore
from pydantic import BaseModel
from pydantic_core import to_json

from adapters.store.audit_queries import AuditQueries
from adapters.store.postgres_reading import ask_again
from adapters.store.sql_views import JSON_COLUMNS, KEYS_OF_ALL, Cursor, Merged, Row, fingerprint
from domain.audit.audit_index import BLOCK, Fact
from domain.audit.read_models import LOG_BEGINS

_SCHEMA = f"""
SET LOCAL search_path TO tmm;
CREATE TABLE views_head (notification_id bigint NOT NULL, position bigint NOT NULL, hash text NOT NULL);
INSERT INTO views_head VALUES ({LOG_BEGINS.notification_id}, {LOG_BEGINS.position}, '{LOG_BEGINS.hash}');

CREATE TABLE selectable_methods (
    method_id uuid PRIMARY KEY,
    internal_name text NOT NULL UNIQUE,
    spec json NOT NULL,
    preinstalled boolean NOT NULL,
    version bigint NOT NULL
);

CREATE TABLE method_versions (
    version_id uuid PRIMARY KEY,
    method_id uuid NOT NULL,
    internal_name text NOT NULL,
    spec json NOT NULL,
    preinstalled boolean,
    version bigint NOT NULL,
    since bigint NOT NULL,
    until bigint
);
CREATE INDEX method_versions_in_order ON method_versions (method_id, since);
CREATE INDEX method_versions_that_say_where_from ON method_versions (method_id, since)
    WHERE preinstalled IS NOT NULL;
CREATE INDEX method_versions_that_began ON method_versions (method_id) WHERE version = 1;

CREATE TABLE training_runs (
    run_id uuid PRIMARY KEY,
    method text NOT NULL,
    status text NOT NULL,
    request json NOT NULL,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    method_version bigint,
    options json,
    provenance json,
    started_at timestamptz,
    finished_at timestamptz,
    steps bigint,
    artifact text,
    artifact_hash text,
    weights_hash text,
    metrics json,
    before json,
    after json,
    measured boolean,
    reason text,
    interrupted boolean
);
CREATE INDEX training_runs_in_time ON training_runs (requested_at DESC, run_id);
CREATE INDEX training_runs_by_method ON training_runs (method, requested_at DESC, run_id);
CREATE INDEX training_runs_by_status ON training_runs (status, requested_at DESC, run_id);

CREATE TABLE audit_log (
    position bigint PRIMARY KEY,
    notification_id bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor text NOT NULL,
    edition text NOT NULL,
    licence_id text,
    key_id text,
    origin text NOT NULL,
    flow_run_id uuid,
    action text NOT NULL,
    subject_type text NOT NULL,
    subject_id uuid NOT NULL,
    subject_name text NOT NULL,
    method text,
    run_id uuid,
    outcome text NOT NULL,
    reason text,
    command_id uuid NOT NULL,
    correlation_id uuid NOT NULL,
    changes json NOT NULL,
    schema_version integer NOT NULL,
    sentence text NOT NULL,
    hash text NOT NULL
);
CREATE INDEX audit_log_by_actor ON audit_log (actor, position);
CREATE INDEX audit_log_by_action ON audit_log (action, position);
CREATE INDEX audit_log_by_method ON audit_log (method, position);
CREATE INDEX audit_log_by_run ON audit_log (run_id, position);
CREATE INDEX audit_log_by_origin ON audit_log (origin, position);
CREATE INDEX audit_log_by_licence ON audit_log (licence_id, position);
CREATE INDEX audit_log_of_refusals ON audit_log (position) WHERE outcome = 'refused';
CREATE INDEX audit_log_in_time ON audit_log (recorded_at, position);

CREATE TABLE audit_counts (
    actor text NOT NULL,
    action text NOT NULL,
    method text NOT NULL,
    outcome text NOT NULL,
    origin text NOT NULL,
    licence_id text NOT NULL,
    entries bigint NOT NULL,
    PRIMARY KEY (actor, action, method, outcome, origin, licence_id)
);

-- Facts in blocks of {BLOCK} positions.
CREATE TABLE audit_index (
    fact text NOT NULL,
    value text NOT NULL,
    block bigint NOT NULL,
    entries bigint NOT NULL,
    bits bytea NOT NULL,
    PRIMARY KEY (fact, value, block)
);
CREATE INDEX audit_index_by_block ON audit_index (fact, block) INCLUDE (value, entries);

DO $$
DECLARE kept text;
BEGIN
    FOREACH kept IN ARRAY ARRAY[
        'selectable_methods', 'method_versions', 'training_runs', 'audit_log', 'audit_counts', 'audit_index',
        'views_head', 'views_form'
    ] LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tmm_application') THEN
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON tmm.%I TO tmm_application', kept);
        END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tmm_auditor') THEN
            EXECUTE format('GRANT SELECT ON tmm.%I TO tmm_auditor', kept);
        END IF;
    END LOOP;
END $$;
"""


_COPIED_FROM = 20
"""So many rows are worth copying in; for fewer, inserting them is one round trip less."""


_TYPES = {"entries": "bigint", "block": "bigint", "bits": "bytea"}
"""Columns of the tables that are merged, and their types where they are not text."""


class PostgresViews(AuditQueries):
    """The tables of the read models, in the schema `tmm`, through the event store's own connections."""

    prefix = "tmm."

    def __init__(self, datastore: PostgresDatastore) -> None:
        self._datastore = datastore

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Cursor]:
        with self._datastore.get_connection() as connection:
            if not write:
                yield cast(Cursor, connection.cursor(binary=True))  # bits as text would be twice as long
                return
            with connection.transaction():
                cursor = connection.cursor()
                # What is lost here when the power goes is in the event log, and is projected again.
                cursor.execute("SET LOCAL synchronous_commit TO off")
                yield cast(Cursor, cursor)

    def _parameter(self, name: str) -> str:
        return f"%({name})s"

    def _encoder(self, kind: type) -> Callable[[Any], Any] | None:
        if issubclass(kind, Enum):
            return str
        return (lambda value: to_json(value).decode()) if issubclass(kind, BaseModel | dict | tuple) else None

    def _decoded(self, row: Row) -> dict[str, Any]:
        return {name: value.astimezone(UTC) if isinstance(value, datetime) else value for name, value in row.items()}

    def as_stored(self, row: Row) -> dict[str, Any]:
        """A row that a projection made, as `rows` would give it: JSON comes back as what it says."""
        return {
            name: json.loads(encoded) if name in JSON_COLUMNS and encoded is not None else encoded
            for name, encoded in super().as_stored(row).items()
        }

    @cached_property
    def writable(self) -> bool:
        [row] = self._read("SELECT has_table_privilege('tmm.views_head', 'UPDATE') AS may")
        return bool(row["may"])

    @ask_again
    def _read(self, statement: str, values: Mapping[str, Any] | None = None) -> list[Row]:
        return super()._read(statement, values)

    def _insert(self, cursor: Cursor, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        if len(rows) < _COPIED_FROM:
            super()._insert(cursor, table, columns, rows)
            return
        with cast("psycopg.Cursor[Any]", cursor).copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row([row[column] for column in columns])

    def _bits(self, cursor: Cursor, facts: Sequence[Fact], block: int) -> Iterator[tuple[Fact, bytes]]:
        names, values = zip(*facts, strict=True)
        cursor.execute(
            "SELECT fact, value, bits FROM unnest(%(names)s::text[], %(values)s::text[]) AS asked (name, given) "
            "CROSS JOIN LATERAL (SELECT * FROM tmm.audit_index WHERE fact = name AND value = given "
            "AND block = %(block)s LIMIT 1) kept",
            {"names": list(names), "values": list(values), "block": block},
        )
        yield from (((row["fact"], row["value"]), row["bits"]) for row in cursor.fetchall())

    def _merge(self, cursor: Cursor, into: Merged, rows: Sequence[tuple[Any, ...]]) -> None:
        given = ", ".join(f"%({column})s::{_TYPES.get(column, 'text')}[]" for column in into.columns)
        cursor.execute(
            f"INSERT INTO tmm.{into.table} ({', '.join(into.columns)}) SELECT * FROM unnest({given}) "
            f"ON CONFLICT ({', '.join(into.key)}) DO UPDATE SET {into.if_there}",
            {column: [row[number] for row in rows] for number, column in enumerate(into.columns)},
        )

    def close(self) -> None:
        """The connections belong to the event store, which closes them."""


def migrate(connection: "psycopg.Connection[Any]") -> None:
    """Make the tables, or make them anew when they have another form than today's, in the present transaction."""
    if is_migrated(connection):
        return
    for table in (*KEYS_OF_ALL, "views_head", "views_form"):
        connection.execute(f"DROP TABLE IF EXISTS tmm.{table}")
    connection.execute(f"CREATE TABLE tmm.views_form AS SELECT '{fingerprint(_SCHEMA)}' AS form")
    connection.execute(_SCHEMA)


def is_migrated(connection: "psycopg.Connection[Any]") -> bool:
    """Whether this database holds the tables in today's form."""
    found = connection.execute("SELECT to_regclass('tmm.views_form')").fetchone()
    if found is None or found[0] is None:
        return False
    form = connection.execute("SELECT form FROM tmm.views_form").fetchone()
    return form is not None and form[0] == fingerprint(_SCHEMA)
