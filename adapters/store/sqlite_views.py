"""The read models in the SQLite file that holds the event log."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

from eventsourcing.sqlite import SQLiteConnection, SQLiteConnectionPool, SQLiteDatastore
from pydantic import BaseModel
from pydantic_core import to_json

from adapters.store.audit_queries import AuditQueries
from adapters.store.sql_views import JSON_COLUMNS, KEYS_OF_ALL, Cursor, Merged, Row, fingerprint
from adapters.store.sqlite_files import ReadOnlyDatastore, connect, may_write
from domain.audit.audit_index import BLOCK, Fact
from domain.audit.read_models import LOG_BEGINS

_SCHEMA = f"""
-- No text holds a NUL character.
CREATE TABLE views_head (notification_id INTEGER NOT NULL, position INTEGER NOT NULL, hash TEXT NOT NULL);
INSERT INTO views_head VALUES ({LOG_BEGINS.notification_id}, {LOG_BEGINS.position}, '{LOG_BEGINS.hash}');

CREATE TABLE selectable_methods (
    method_id TEXT PRIMARY KEY,
    internal_name TEXT NOT NULL UNIQUE,
    spec TEXT NOT NULL,
    preinstalled INTEGER NOT NULL,
    version INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE method_versions (
    version_id TEXT PRIMARY KEY,
    method_id TEXT NOT NULL,
    internal_name TEXT NOT NULL,
    spec TEXT NOT NULL,
    preinstalled INTEGER,
    version INTEGER NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER
) WITHOUT ROWID;
CREATE INDEX method_versions_in_order ON method_versions (method_id, since);
CREATE INDEX method_versions_that_say_where_from ON method_versions (method_id, since)
    WHERE preinstalled IS NOT NULL;
CREATE INDEX method_versions_that_began ON method_versions (method_id) WHERE version = 1;

CREATE TABLE training_runs (
    run_id TEXT PRIMARY KEY,
    method TEXT NOT NULL,
    status TEXT NOT NULL,
    request TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at TEXT NOT NULL,
    method_version INTEGER,
    options TEXT,
    provenance TEXT,
    started_at TEXT,
    finished_at TEXT,
    steps INTEGER,
    artifact TEXT,
    artifact_hash TEXT,
    weights_hash TEXT,
    metrics TEXT,
    before TEXT,
    after TEXT,
    measured INTEGER,
    reason TEXT,
    interrupted INTEGER
) WITHOUT ROWID;
CREATE INDEX training_runs_in_time ON training_runs (requested_at DESC, run_id);
CREATE INDEX training_runs_by_method ON training_runs (method, requested_at DESC, run_id);
CREATE INDEX training_runs_by_status ON training_runs (status, requested_at DESC, run_id);

CREATE TABLE audit_log (
    position INTEGER PRIMARY KEY,
    notification_id INTEGER NOT NULL,
    occurred_at TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    actor TEXT NOT NULL,
    edition TEXT NOT NULL,
    licence_id TEXT,
    key_id TEXT,
    origin TEXT NOT NULL,
    flow_run_id TEXT,
    action TEXT NOT NULL,
    subject_type TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    subject_name TEXT NOT NULL,
    method TEXT,
    run_id TEXT,
    outcome TEXT NOT NULL,
    reason TEXT,
    command_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    changes TEXT NOT NULL,
    schema_version INTEGER NOT NULL,
    sentence TEXT NOT NULL,
    hash TEXT NOT NULL
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
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    method TEXT NOT NULL,
    outcome TEXT NOT NULL,
    origin TEXT NOT NULL,
    licence_id TEXT NOT NULL,
    entries INTEGER NOT NULL,
    PRIMARY KEY (actor, action, method, outcome, origin, licence_id)
) WITHOUT ROWID;

-- Facts in blocks of {BLOCK} positions.
CREATE TABLE audit_index (
    fact TEXT NOT NULL,
    value TEXT NOT NULL,
    block INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    bits BLOB NOT NULL,
    PRIMARY KEY (fact, value, block)
) WITHOUT ROWID;
CREATE INDEX audit_index_by_block ON audit_index (fact, block, value, entries);
"""


class SQLiteViews(AuditQueries):
    """The tables of the read models in this file."""

    def __init__(self, file: Path, *, lock_timeout_s: int) -> None:
        self._file = file
        self._datastore = (
            _ViewsDatastore(str(file), lock_timeout=lock_timeout_s)
            if may_write(file)
            else ReadOnlyDatastore(file, lock_timeout_s=lock_timeout_s)
        )

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Cursor]:
        with self._datastore.transaction(commit=write) as cursor:
            yield cursor.sqlite_cursor

    def _parameter(self, name: str) -> str:
        return f":{name}"

    def _encoder(self, kind: type) -> Callable[[Any], Any] | None:
        if issubclass(kind, UUID | Enum):
            return str
        if issubclass(kind, datetime):
            return lambda moment: moment.astimezone(UTC).isoformat(timespec="microseconds")
        return (lambda value: to_json(value).decode()) if issubclass(kind, BaseModel | dict | tuple) else None

    def _decoded(self, row: Row) -> dict[str, Any]:
        return {
            name: json.loads(row[name]) if name in JSON_COLUMNS and row[name] is not None else row[name]
            for name in row.keys()  # noqa: SIM118 -- an sqlite3.Row iterates over values
        }

    @property
    def writable(self) -> bool:
        return may_write(self._file)

    def _bits(self, cursor: Cursor, facts: Sequence[Fact], block: int) -> Iterator[tuple[Fact, bytes]]:
        for name, value in facts:
            cursor.execute(
                "SELECT bits FROM audit_index WHERE fact = :fact AND value = :value AND block = :block",
                {"fact": name, "value": value, "block": block},
            )
            if row := cursor.fetchone():
                yield (name, value), row["bits"]

    def _merge(self, cursor: Cursor, into: Merged, rows: Sequence[tuple[Any, ...]]) -> None:
        given = ", ".join("?" * len(into.columns))
        cursor.executemany(
            f"INSERT INTO {into.table} ({', '.join(into.columns)}) VALUES ({given}) "
            f"ON CONFLICT ({', '.join(into.key)}) DO UPDATE SET {into.if_there}",
            rows,
        )

    def close(self) -> None:
        self._datastore.close()


class _ViewsPool(SQLiteConnectionPool):
    def _create_connection(self) -> SQLiteConnection:
        connection = super()._create_connection()
        # What is lost here when the power goes is in the event log, and is projected again.
        connection.cursor().execute("PRAGMA synchronous = NORMAL")
        return connection


class _ViewsDatastore(SQLiteDatastore):
    def __init__(self, db_name: str, *, lock_timeout: int) -> None:
        super().__init__(db_name, lock_timeout=lock_timeout)
        self.pool = _ViewsPool(db_name=db_name, lock_timeout=lock_timeout)


def migrate(file: Path, *, lock_timeout_s: int) -> None:
    """Make the tables, or make them anew when they have another form than today's. Call it under a lock."""
    with closing(sqlite3.connect(file, timeout=lock_timeout_s, isolation_level=None)) as database:
        if _form(database) == fingerprint(_SCHEMA):
            return
        tables = (*KEYS_OF_ALL, "audit_words", "views_head", "views_form")
        drop = "".join(f"DROP TABLE IF EXISTS {table};" for table in tables)
        form = f"CREATE TABLE views_form AS SELECT '{fingerprint(_SCHEMA)}' AS form;"
        database.executescript(f"BEGIN IMMEDIATE; {drop} {_SCHEMA} {form} COMMIT;")


def is_migrated(file: Path, *, lock_timeout_s: int) -> bool:
    """Whether this file holds the tables in today's form."""
    with closing(connect(file, lock_timeout_s=lock_timeout_s)) as database:
        return _form(database) == fingerprint(_SCHEMA)


def _form(database: sqlite3.Connection) -> str | None:
    try:
        row = database.execute("SELECT form FROM views_form").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    return str(row[0]) if row else None
