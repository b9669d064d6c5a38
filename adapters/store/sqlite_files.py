"""Opening the SQLite file of an installation, also for people who may read it and not write it."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from eventsourcing.persistence import OperationalError
from eventsourcing.sqlite import SQLiteConnection, SQLiteDatastore


def may_write(file: Path) -> bool:
    """Whether this user may change the file: SQLite needs the folder as well, for what it writes ahead."""
    return os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)


def connect(file: Path, *, lock_timeout_s: int) -> sqlite3.Connection:
    """A connection in which every statement is a transaction, unless one is begun."""
    return sqlite3.connect(_address(file), uri=True, timeout=lock_timeout_s, isolation_level=None)


class ReadOnlyDatastore(SQLiteDatastore):
    """Reads the file as it stands, through a connection of its own each time, so that the next one sees what is new."""

    def __init__(self, file: Path, *, lock_timeout_s: int) -> None:
        super().__init__(str(file), lock_timeout=lock_timeout_s)
        self._file = file
        self._lock_timeout_s = lock_timeout_s

    @contextmanager
    def get_connection(self, *, commit: bool) -> Iterator[SQLiteConnection]:
        nobody_writes, before = not _is_open(self._file), self._file.stat()
        connection = connect(self._file, lock_timeout_s=self._lock_timeout_s)
        connection.row_factory = sqlite3.Row
        kept = SQLiteConnection(connection, max_age=None)
        try:
            yield kept
        finally:
            kept.close()
        after = self._file.stat()
        if nobody_writes and (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            raise OperationalError("somebody wrote it while it was read; ask again")


def _address(file: Path) -> str:
    address = f"file:{quote(str(file))}"
    if may_write(file) or not file.exists():
        return address
    # A reader takes part in SQLite's locking through files that whoever has the database open keeps beside it. When
    # there are none, one who may not make them has to promise that the database does not change meanwhile.
    return f"{address}?mode=ro" if _is_open(file) else f"{address}?mode=ro&immutable=1"


def _is_open(file: Path) -> bool:
    """Whether somebody who may write has it open, or left it without closing it."""
    return file.with_name(f"{file.name}-wal").exists()
