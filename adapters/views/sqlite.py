"""The read models in the SQLite file that holds the event log."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from eventsourcing.sqlite import SQLiteConnection, SQLiteConnectionPool, SQLiteDatastore
from pydantic import BaseModel
from pydantic_core import to_json

from adapters.views.sql import KEYS, Cursor, Row, SqlViews, fingerprint
from domain.read_models import LOG_BEGINS

_JSON = frozenset({"spec", "request", "options", "provenance", "metrics", "before", "after", "changes"})

_SCHEMA = f"""
CREATE TABLE views_head (notification_id INTEGER NOT NULL, position INTEGER NOT NULL, hash TEXT NOT NULL);
INSERT INTO views_head VALUES ({LOG_BEGINS.notification_id}, {LOG_BEGINS.position}, '{LOG_BEGINS.hash}');

CREATE TABLE selectable_methods (
    method_id TEXT PRIMARY KEY,
    internal_name TEXT NOT NULL UNIQUE,
    spec TEXT NOT NULL,
    preinstalled INTEGER NOT NULL,
    version INTEGER NOT NULL
) WITHOUT ROWID;

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
    reason TEXT,
    interrupted INTEGER
) WITHOUT ROWID;
CREATE INDEX training_runs_in_time ON training_runs (requested_at DESC, run_id);
CREATE INDEX training_runs_by_method ON training_runs (method, requested_at DESC, run_id);
CREATE INDEX training_runs_by_status ON training_runs (status, requested_at DESC, run_id);

CREATE TABLE audit_log (
    position INTEGER PRIMARY KEY,
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
CREATE INDEX audit_log_in_time ON audit_log (occurred_at, position);
"""


class SQLiteViews(SqlViews):
    """The tables of the read models in this file."""

    def __init__(self, file: Path, *, lock_timeout_s: int) -> None:
        self._datastore = _ViewsDatastore(str(file), lock_timeout=lock_timeout_s)

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Cursor]:
        with self._datastore.transaction(commit=write) as cursor:
            yield cursor.sqlite_cursor

    def _parameter(self, name: str) -> str:
        return f":{name}"

    def _encoded(self, value: Any) -> Any:
        match value:
            case UUID():
                return str(value)
            case datetime():
                return value.astimezone(UTC).isoformat(timespec="microseconds")
            case BaseModel() | dict() | tuple():
                return to_json(value).decode()
            case str():
                return str(value)
        return value

    def _decoded(self, row: Row) -> dict[str, Any]:
        return {
            name: json.loads(row[name]) if name in _JSON and row[name] is not None else row[name]
            for name in row.keys()  # noqa: SIM118 -- an sqlite3.Row iterates over values
        }

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
        drop = "".join(f"DROP TABLE IF EXISTS {table};" for table in (*KEYS, "views_head", "views_form"))
        form = f"CREATE TABLE views_form AS SELECT '{fingerprint(_SCHEMA)}' AS form;"
        database.executescript(f"BEGIN IMMEDIATE; {drop} {_SCHEMA} {form} COMMIT;")


def is_migrated(file: Path, *, lock_timeout_s: int) -> bool:
    """Whether this file holds the tables in today's form."""
    with closing(sqlite3.connect(file, timeout=lock_timeout_s)) as database:
        return _form(database) == fingerprint(_SCHEMA)


def _form(database: sqlite3.Connection) -> str | None:
    try:
        row = database.execute("SELECT form FROM views_form").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    return str(row[0]) if row else None
