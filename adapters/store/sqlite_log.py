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

from adapters.store.mapper import PydanticMapper
from adapters.store.sqlite_files import ReadOnlyDatastore, connect, may_write
from domain.audit.operations import ClockAccepted
from domain.audit.projections import Parts
from domain.audit.proving.verification import Numbering
from domain.clock import Time
from domain.errors import DatabaseUnavailable
from domain.events import RecordedEvent

LOCK_TIMEOUT_S = 30

_NEWEST = "SELECT recorded_at FROM stored_events ORDER BY rowid DESC LIMIT 1"

_SCHEMA = f"""
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

-- An INSERT OR REPLACE deletes what stands in its way without asking the trigger above.
CREATE TRIGGER IF NOT EXISTS stored_events_are_not_replaced BEFORE INSERT ON stored_events BEGIN
    SELECT RAISE(ABORT, 'the event log is never changed: this place in it is taken') WHERE EXISTS (
        SELECT 1 FROM stored_events WHERE rowid = NEW.rowid
        UNION ALL SELECT 1 FROM stored_events
        WHERE originator_id = NEW.originator_id AND originator_version = NEW.originator_version
    );
    SELECT RAISE(ABORT, 'time does not go back in the event log')
        WHERE NEW.topic <> '{ClockAccepted.TOPIC}' AND NEW.recorded_at < ({_NEWEST});
END;
-- Its number is known only now, unless it was given.
CREATE TRIGGER IF NOT EXISTS stored_events_have_no_gap AFTER INSERT ON stored_events BEGIN
    SELECT RAISE(ABORT, 'the event log goes on with the next number')
        WHERE EXISTS (SELECT 1 FROM stored_events WHERE rowid > NEW.rowid)
        OR NEW.rowid <> 1 AND NOT EXISTS (SELECT 1 FROM stored_events WHERE rowid = NEW.rowid - 1);
END;

-- Behind this number, the log is one that these triggers kept.
CREATE TABLE IF NOT EXISTS log_head (ordered_since INTEGER NOT NULL);
INSERT INTO log_head SELECT coalesce(max(rowid), 0) FROM stored_events HAVING NOT EXISTS (SELECT 1 FROM log_head);
"""

_INSERT_AT_THE_CLOCK = (
    "INSERT INTO stored_events (originator_id, originator_version, topic, state, recorded_at) VALUES (?, ?, ?, ?, ?)"
)
_INSERT = _INSERT_AT_THE_CLOCK.replace("?)", f"max(?, coalesce(({_NEWEST}), '')))")


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
        # and the clock is read in the log's own order. Time goes back only where the clock is accepted.
        c.execute("ROLLBACK")
        c.execute("BEGIN IMMEDIATE")
        for originator_id, version in (unchanged or {}).items():
            c.execute("SELECT max(originator_version) FROM stored_events WHERE originator_id = ?", (originator_id.hex,))
            if c.fetchone()[0] != version:
                raise IntegrityError(f"the stream {originator_id} is not at version {version} any more")
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        ids = []
        for event in stored_events:
            assert isinstance(event.originator_id, UUID)
            c.execute(
                _INSERT_AT_THE_CLOCK if event.topic == ClockAccepted.TOPIC else _INSERT,
                (event.originator_id.hex, event.originator_version, event.topic, event.state, now),
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

    def time(self) -> Time:
        """What time it is, by this machine's clock and by the newest entry."""
        with self.datastore.transaction(commit=False) as c:
            c.execute(_NEWEST)
            return _time(c.fetchone())

    def numbering(self) -> Numbering:
        """How the log is numbered; nothing can stand beyond its newest entry."""
        with self.datastore.transaction(commit=False) as c:
            c.execute("SELECT ordered_since, (SELECT coalesce(max(rowid), 0) FROM stored_events) FROM log_head")
            ordered_since, last = c.fetchone()
            return Numbering(ordered_since=ordered_since, given=last, last=last, beyond=0)

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


class SQLiteClock:
    """Tells the time by this machine's clock and the log's newest entry, if there is a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def time(self) -> Time:
        """Raises `DatabaseUnavailable`."""
        if not self._file.exists():
            return Time.of_this_machine()
        try:
            with closing(connect(self._file, lock_timeout_s=LOCK_TIMEOUT_S)) as database:
                return _time(database.execute(_NEWEST).fetchone())
        except sqlite3.Error as error:
            if "no such table" in str(error):
                return Time.of_this_machine()
            raise DatabaseUnavailable(f"The time of the log cannot be read ({error}).") from error


def _time(newest: Sequence[Any] | None) -> Time:
    time = Time.of_this_machine()
    return time._replace(newest=datetime.fromisoformat(newest[0])) if newest else time


def migrate(file: Path) -> None:
    """Create the event log's tables, or what is missing of today's. Call it under `only_one_migrates`."""
    file.touch(mode=0o600)  # SQLite gives its log and index files the same permissions
    with closing(sqlite3.connect(file, timeout=LOCK_TIMEOUT_S, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")


def is_migrated(file: Path) -> bool:
    """Whether this file holds an event log."""
    if not file.is_file():
        return False
    with closing(connect(file, lock_timeout_s=LOCK_TIMEOUT_S)) as database:
        found = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'log_head'")
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
