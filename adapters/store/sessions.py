"""Sessions at the page, in the database that holds the event log: a table of its own, which changes, unlike the log.

One statement is one transaction. Times are text, as ISO 8601 in UTC, which sorts as time does.
"""

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString, Protocol

import orjson

from adapters.store.sqlite_files import connect
from domain.audit.operations import Way
from domain.people.sessions import IDLE, LONGEST, Identity, Session, Sessions

if TYPE_CHECKING:
    import psycopg

_LOCK_TIMEOUT_S = 30
_CONNECTIONS = 4
_CONNECT_TIMEOUT_S = 5

_COLUMNS = """(
    key_hash TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    way TEXT NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    groups TEXT NOT NULL,
    began TEXT NOT NULL,
    used TEXT NOT NULL
)"""
_SQLITE_SCHEMA = f"CREATE TABLE IF NOT EXISTS web_sessions {_COLUMNS}"
_POSTGRES_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS tmm.web_sessions {_COLUMNS};
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tmm_application') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON tmm.web_sessions TO tmm_application;
    END IF;
END $$;
"""
_OF_A_SESSION: LiteralString = "name, way, issuer, subject, groups, began, used"


class _Database(Protocol):
    """Carries out one statement, whose places are `%s`; the rows that it gives, and how many it changed."""

    def __call__(self, statement: LiteralString, values: Sequence[str] = ()) -> tuple[list[Any], int]: ...

    def close(self) -> None: ...


class KeptSessions(Sessions):
    """The table `web_sessions`."""

    def __init__(self, database: _Database) -> None:
        self._do = database

    def close(self) -> None:
        """Let go of every connection."""
        self._do.close()

    def begin(self, key_hash: str, session: Session) -> None:
        over = [_text(session.began - LONGEST), _text(session.began - IDLE)]
        self._do("DELETE FROM web_sessions WHERE began < %s OR used < %s", over)
        who = session.identity
        values = [key_hash, who.name, who.way.value, who.issuer, who.subject]
        values += [orjson.dumps(who.groups).decode(), _text(session.began), _text(session.used)]
        self._do("INSERT INTO web_sessions VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", values)

    def find(self, key_hash: str) -> Session | None:
        rows, _ = self._do(f"SELECT {_OF_A_SESSION} FROM web_sessions WHERE key_hash = %s", [key_hash])
        return _session(rows[0]) if rows else None

    def use(self, key_hash: str, at: datetime) -> None:
        self._do("UPDATE web_sessions SET used = %s WHERE key_hash = %s", [_text(at), key_hash])

    def end(self, key_hash: str) -> bool:
        return bool(self._do("DELETE FROM web_sessions WHERE key_hash = %s", [key_hash])[1])

    def end_all_of(self, name: str) -> int:
        return self._do("DELETE FROM web_sessions WHERE name = %s", [name])[1]

    def all(self) -> Sequence[Session]:
        rows, _ = self._do(f"SELECT {_OF_A_SESSION} FROM web_sessions ORDER BY name, began DESC")
        return [_session(row) for row in rows]


class SQLite:
    """Statements on an SQLite file, each through a connection of its own."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, statement: LiteralString, values: Sequence[str] = ()) -> tuple[list[Any], int]:
        with closing(connect(self._file, lock_timeout_s=_LOCK_TIMEOUT_S)) as database:
            done = database.execute(statement.replace("%s", "?"), values)
            return done.fetchall(), done.rowcount

    def close(self) -> None:
        """Nothing is kept open."""


class Postgres:
    """Statements on a PostgreSQL database, through a few connections that are looked at before they are used."""

    def __init__(self, url: str) -> None:
        from psycopg_pool import ConnectionPool

        settings = {"autocommit": True, "application_name": "tmm", "options": "-c search_path=tmm"}
        self._pool = ConnectionPool(
            url,
            kwargs=settings,
            min_size=0,
            max_size=_CONNECTIONS,
            timeout=_CONNECT_TIMEOUT_S,
            check=ConnectionPool.check_connection,
            open=True,
        )

    def __call__(self, statement: LiteralString, values: Sequence[str] = ()) -> tuple[list[Any], int]:
        with self._pool.connection() as connection:
            done = connection.execute(statement, list(values))
            return (done.fetchall() if done.description else []), done.rowcount

    def close(self) -> None:
        self._pool.close()


def migrate_sqlite(file: Path) -> None:
    """Make the table in a file that holds an event log, unless it is there."""
    with closing(connect(file, lock_timeout_s=_LOCK_TIMEOUT_S)) as database:
        database.execute(_SQLITE_SCHEMA)


def is_migrated_sqlite(file: Path) -> bool:
    """Whether the table is there."""
    with closing(connect(file, lock_timeout_s=_LOCK_TIMEOUT_S)) as database:
        return database.execute("SELECT 1 FROM sqlite_master WHERE name = 'web_sessions'").fetchone() is not None


def migrate_postgres(connection: "psycopg.Connection[Any]") -> None:
    """Make the table in the present transaction, unless it is there."""
    connection.execute(_POSTGRES_SCHEMA)


def is_migrated_postgres(connection: "psycopg.Connection[Any]") -> bool:
    """Whether the table is there."""
    found = connection.execute("SELECT to_regclass('tmm.web_sessions')").fetchone()
    return found is not None and found[0] is not None


def _session(row: Sequence[Any]) -> Session:
    name, way, issuer, subject, groups, began, used = row
    return Session(
        identity=Identity(name=name, way=Way(way), issuer=issuer, subject=subject, groups=tuple(orjson.loads(groups))),
        began=datetime.fromisoformat(began),
        used=datetime.fromisoformat(used),
    )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
