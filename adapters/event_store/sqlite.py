"""The event log in an SQLite file."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from eventsourcing.persistence import ApplicationRecorder, IntegrityError, Mapper, Notification, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteCursor, SQLiteFactory
from eventsourcing.utils import Environment

from adapters.event_store.mapper import PydanticMapper
from adapters.sqlite_files import ReadOnlyDatastore, connect, may_write
from domain.events import RecordedEvent
from domain.projections import Parts

LOCK_TIMEOUT_S = 30

_SCHEMA = """
CREATE TABLE IF NOT EXISTS stored_events (
    originator_id TEXT NOT NULL,
    originator_version INTEGER NOT NULL,
    topic TEXT NOT NULL,
    state BLOB NOT NULL,
    recorded_at TEXT NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
);
CREATE TRIGGER IF NOT EXISTS stored_events_are_not_updated BEFORE UPDATE ON stored_events
    BEGIN SELECT RAISE(ABORT, 'the event log is never changed'); END;
CREATE TRIGGER IF NOT EXISTS stored_events_are_not_deleted BEFORE DELETE ON stored_events
    BEGIN SELECT RAISE(ABORT, 'the event log is never changed'); END;
"""


class SQLiteStore(SQLiteFactory):
    """Mapper and recorder for the event log in this file. Tables are made by `migrate`, never on the way."""

    def __init__(self, file: Path) -> None:
        # Every setting is given here: nothing of the process's environment takes part.
        settings = {"SQLITE_DBNAME": str(file), "SQLITE_LOCK_TIMEOUT": str(LOCK_TIMEOUT_S), "CREATE_TABLE": "n"}
        super().__init__(Environment("", settings))
        if not may_write(file):
            self.datastore = ReadOnlyDatastore(file, lock_timeout_s=LOCK_TIMEOUT_S)

    def mapper(self, transcoder: object = None, mapper_class: object = None) -> Mapper[Any]:
        return PydanticMapper()

    def application_recorder(self) -> ApplicationRecorder:
        return SQLiteRecorder(self.datastore)


class SQLiteRecorder(SQLiteApplicationRecorder):
    """Appends events, each with the moment of its recording."""

    def _insert_events(
        self,
        c: SQLiteCursor,
        stored_events: Sequence[StoredEvent],
        *,
        unchanged: dict[UUID, int] | None = None,
        **_: Any,
    ) -> list[int]:
        # The write lock comes first (the library begins without one): nobody appends between here and the commit,
        # and the clock is read in the log's own order.
        c.execute("ROLLBACK")
        c.execute("BEGIN IMMEDIATE")
        for originator_id, version in (unchanged or {}).items():
            c.execute("SELECT max(originator_version) FROM stored_events WHERE originator_id = ?", (originator_id.hex,))
            if c.fetchone()[0] != version:
                raise IntegrityError(f"the stream {originator_id} is not at version {version} any more")
        recorded_at = datetime.now(UTC).isoformat(timespec="microseconds")
        ids = []
        for event in stored_events:
            assert isinstance(event.originator_id, UUID)
            c.execute(
                "INSERT INTO stored_events (originator_id, originator_version, topic, state, recorded_at) "
                "VALUES (?, ?, ?, ?, ?)",
                (event.originator_id.hex, event.originator_version, event.topic, event.state, recorded_at),
            )
            ids.append(c.lastrowid)
        return ids

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
        conditions: list[str] = []
        values: list[int | str] = []
        if start is not None:
            conditions.append("rowid >= ?" if inclusive_of_start else "rowid > ?")
            values.append(start)
        if stop is not None:
            conditions.append("rowid <= ?")
            values.append(stop)
        if topics:
            conditions.append(f"topic IN ({', '.join('?' * len(topics))})")
            values += topics
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        statement = (
            "SELECT rowid, originator_id, originator_version, topic, state, recorded_at FROM stored_events "
            f"{where}ORDER BY rowid LIMIT ?"
        )
        with self.datastore.transaction(commit=False) as c:
            c.execute(statement, [*values, limit])
            return [_recorded(row) for row in c.fetchall()]

    def select_parts(self, after: int, until: int, limit: int) -> Sequence[tuple[int, Parts]]:
        """What is stored of events, in the order of the log, each with its number there."""
        with self.datastore.transaction(commit=False) as c:
            c.execute(
                "SELECT rowid, originator_id, originator_version, topic, state, recorded_at FROM stored_events "
                "WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ?",
                (after, until, limit),
            )
            return [
                (
                    number,
                    (
                        f"{stream[:8]}-{stream[8:12]}-{stream[12:16]}-{stream[16:20]}-{stream[20:]}".encode(),
                        b"%d" % version,
                        topic.encode(),
                        state,
                        recorded_at.encode(),
                    ),
                )
                for number, stream, version, topic, state, recorded_at in c.fetchall()
            ]


def _recorded(row: Sequence[Any]) -> RecordedEvent:
    number, originator_id, originator_version, topic, state, recorded_at = row
    return RecordedEvent(
        id=number,
        originator_id=UUID(originator_id),
        originator_version=originator_version,
        topic=topic,
        state=state,
        recorded_at=datetime.fromisoformat(recorded_at),
    )


def migrate(file: Path) -> None:
    """Create the event log's table, once. Call it under `only_one_migrates`."""
    file.touch(mode=0o600)  # SQLite gives its log and index files the same permissions
    with closing(sqlite3.connect(file, timeout=LOCK_TIMEOUT_S, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")


def is_migrated(file: Path) -> bool:
    """Whether this file holds an event log."""
    if not file.is_file():
        return False
    with closing(connect(file, lock_timeout_s=LOCK_TIMEOUT_S)) as database:
        found = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'stored_events_are_not_deleted'")
        return found.fetchone() is not None


@contextmanager
def only_one_migrates(file: Path) -> Iterator[None]:
    """Wait until no other process migrates this file; the folder is made when it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
