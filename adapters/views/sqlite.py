"""The read models in the SQLite file that holds the event log."""

import json
import os
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

from adapters.views.audit_queries import AuditQueries, Candidates
from adapters.views.sql import JSON_COLUMNS, KEYS, Cursor, Row, fingerprint
from domain.read_models import LOG_BEGINS

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
    words TEXT NOT NULL,
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
CREATE VIRTUAL TABLE audit_words USING fts5 (
    words, content = '', detail = none, tokenize = 'unicode61 remove_diacritics 0'
);

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
"""


class SQLiteViews(AuditQueries):
    """The tables of the read models in this file."""

    def __init__(self, file: Path, *, lock_timeout_s: int) -> None:
        self._file = file
        self._datastore = _ViewsDatastore(str(file), lock_timeout=lock_timeout_s)

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
        if issubclass(kind, tuple):
            return lambda items: _quoted(items) if items and isinstance(items[0], str) else to_json(items).decode()
        return (lambda value: to_json(value).decode()) if issubclass(kind, BaseModel | dict) else None

    def _decoded(self, row: Row) -> dict[str, Any]:
        return {
            name: json.loads(row[name]) if name in JSON_COLUMNS and row[name] is not None else row[name]
            for name in row.keys()  # noqa: SIM118 -- an sqlite3.Row iterates over values
        }

    @property
    def writable(self) -> bool:
        return os.access(self._file, os.W_OK)

    def _index_words(self, cursor: Cursor, entries: Sequence[Row]) -> None:
        cursor.executemany(
            "INSERT INTO audit_words (rowid, words) VALUES (:position, :words)",
            [{"position": entry["position"], "words": _quoted(entry["words"])} for entry in entries],
        )

    def _forget_words(self, cursor: Cursor) -> None:
        cursor.execute("INSERT INTO audit_words (audit_words) VALUES ('delete-all')")

    def _with_words(self, searched: tuple[str, ...]) -> Candidates:
        return Candidates(
            "rowid",
            f"audit_words WHERE audit_words MATCH '{_quoted(searched)}' AND",
            columns="rowid AS position",
            joined="CROSS JOIN audit_log ON audit_log.position = candidate.position",
        )

    def _has_words(self, searched: tuple[str, ...]) -> str:
        return " AND ".join(f"instr(words, '{_quoted((word,))}') > 0" for word in searched)

    def _day(self, column: str) -> str:
        return f"substr({column}, 1, 10)"

    def close(self) -> None:
        self._datastore.close()


def _quoted(searched: Sequence[str]) -> str:
    return " ".join(f'"{word}"' for word in searched)


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
        tables = (*KEYS, "audit_words", "audit_counts", "views_head", "views_form")
        drop = "".join(f"DROP TABLE IF EXISTS {table};" for table in tables)
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
