"""The read models in SQL, as far as SQLite and PostgreSQL agree."""

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from adapters.store.folding import Folded, alike, folded
from domain.audit.audit_index import Fact, Indexed, block_of, from_bytes, to_bytes
from domain.audit.read_models import (
    COUNTED,
    LOG_BEGINS,
    Head,
    KeptTable,
    RowChange,
    Run,
    SelectableMethod,
    Table,
    ViewsMoved,
)
from domain.runs.training_run import RunStatus

Row = Mapping[str, Any]

KEYS: dict[Table, str] = {
    "selectable_methods": "method_id",
    "method_versions": "version_id",
    "training_runs": "run_id",
    "audit_log": "position",
}

KEYS_OF_ALL: dict[KeptTable, str] = {
    **dict[KeptTable, str](KEYS.items()),
    "audit_counts": ", ".join(COUNTED),
    "audit_index": "fact, value, block",
}

JSON_COLUMNS = frozenset({"spec", "request", "options", "provenance", "metrics", "before", "after", "changes"})


class Cursor(Protocol):
    """What both databases' cursors can do."""

    @property
    def rowcount(self) -> int: ...
    def execute(self, statement: str, values: Mapping[str, Any] = ..., /) -> object: ...
    def executemany(self, statement: str, values: Sequence[Any], /) -> object: ...
    def fetchone(self) -> Any: ...
    def fetchmany(self, size: int, /) -> Any: ...
    def fetchall(self) -> Any: ...


class Merged(NamedTuple):
    """A table into which rows are merged: its columns, and what becomes of a row whose key is there already."""

    table: str
    key: Sequence[str]
    others: Sequence[str]
    if_there: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.key, *self.others)


_COUNTS = Merged("audit_counts", COUNTED, ("entries",), "entries = audit_counts.entries + excluded.entries")
_INDEX = Merged(
    "audit_index", ("fact", "value", "block"), ("entries", "bits"), "entries = excluded.entries, bits = excluded.bits"
)


class SqlViews(ABC):
    """Reads and writes the tables of the read models; a subclass knows its database's transactions and types."""

    prefix = ""
    """What stands before the name of a table."""

    @abstractmethod
    def _transaction(self, *, write: bool) -> AbstractContextManager[Cursor]: ...

    @abstractmethod
    def _parameter(self, name: str) -> str:
        """How a named value stands in a statement."""

    @abstractmethod
    def _encoder(self, kind: type) -> Callable[[Any], Any] | None:
        """How a value of this type becomes what its column takes; None when it is that already."""

    def _encoded(self, value: Any) -> Any:
        """A value as its column takes it."""
        encode = self._encoders[type(value)]
        return value if encode is None else encode(value)

    @cached_property
    def _encoders(self) -> "_Encoders":
        return _Encoders(self._encoder)

    @abstractmethod
    def _decoded(self, row: Row) -> dict[str, Any]:
        """A row's columns as pydantic takes them."""

    # The head, and what moves it.

    @property
    @abstractmethod
    def writable(self) -> bool:
        """Whether this user may bring the views up to date."""

    def head(self) -> Head:
        [row] = self._read(f"SELECT notification_id, position, hash FROM {self.prefix}views_head")
        return Head(notification_id=row["notification_id"], position=row["position"], hash=row["hash"])

    def project(self, changes: Sequence[RowChange], *, since: Head, until: Head) -> None:
        """Write the changes and move the head. Raises `ViewsMoved` when the head is not `since` any more."""
        with self._transaction(write=True) as cursor:
            # The head moves first: from here on, everybody else who projects waits, and then finds it moved.
            self._move_head(cursor, since, until)
            tables = folded(changes, KEYS)
            for table, rows in tables.items():
                self._write(cursor, table, rows)
            entries = [*tables["audit_log"].inserted.values()]
            if entries:
                self._count(cursor, entries)
                self._index(cursor, entries)

    def _write(self, cursor: Cursor, table: Table, rows: Folded) -> None:
        key, name = KEYS[table], self.prefix + table
        found = f"WHERE {key} = {self._parameter('key')}"
        if rows.removed:
            cursor.executemany(
                f"DELETE FROM {name} {found}", [{"key": self._encoded(removed)} for removed in rows.removed]
            )
        for columns, inserted in alike(rows.inserted):
            self._insert(cursor, name, columns, [SqlViews.as_stored(self, row) for _, row in inserted])
        for columns, updated in alike(rows.updated):
            new = ", ".join(f"{column} = {self._parameter(column)}" for column in columns)
            cursor.executemany(
                f"UPDATE {name} SET {new} {found}",
                [SqlViews.as_stored(self, row) | {"key": self._encoded(of)} for of, row in updated],
            )

    def _insert(self, cursor: Cursor, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        values = ", ".join(self._parameter(name) for name in columns)
        cursor.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})", rows)

    def clear(self) -> None:
        """Drop every row and begin again at `LOG_BEGINS`."""
        with self._transaction(write=True) as cursor:
            cursor.execute(
                f"UPDATE {self.prefix}views_head SET notification_id = {LOG_BEGINS.notification_id}, "
                f"position = {LOG_BEGINS.position}, hash = '{LOG_BEGINS.hash}'"
            )
            for table in KEYS_OF_ALL:
                cursor.execute(f"DELETE FROM {self.prefix}{table}")

    def _count(self, cursor: Cursor, entries: Sequence[Row]) -> None:
        counts = Counter(tuple(str(entry[column] or "") for column in COUNTED) for entry in entries)
        rows = [(*key, entries) for key, entries in counts.items()]
        self._merge(cursor, _COUNTS, rows)

    def _index(self, cursor: Cursor, entries: Sequence[Row]) -> None:
        """Set the bits of new entries; only the first one's block can have bits already."""
        new, began = Indexed(entries).rows(), block_of(entries[0]["position"])
        facts = [(name, value) for name, value, block in new if block == began]
        for (name, value), bits in self._bits(cursor, facts, began):
            new[name, value, began] |= from_bytes(bits)
        rows = [(*place, bits.bit_count(), to_bytes(bits)) for place, bits in new.items()]
        self._merge(cursor, _INDEX, rows)

    @abstractmethod
    def _bits(self, cursor: Cursor, facts: Sequence[Fact], block: int) -> Iterator[tuple[Fact, bytes]]:
        """What the index has of these facts in this block."""

    @abstractmethod
    def _merge(self, cursor: Cursor, into: Merged, rows: Sequence[tuple[Any, ...]]) -> None:
        """Put rows in, or what comes of them and of those that are there with the same keys."""

    def _move_head(self, cursor: Cursor, since: Head, until: Head) -> None:
        cursor.execute(
            f"UPDATE {self.prefix}views_head SET notification_id = {self._parameter('notification_id')}, "
            f"position = {self._parameter('position')}, hash = {self._parameter('hash')} "
            f"WHERE notification_id = {self._parameter('was_id')} AND hash = {self._parameter('was_hash')}",
            {
                "notification_id": until.notification_id,
                "position": until.position,
                "hash": until.hash,
                "was_id": since.notification_id,
                "was_hash": since.hash,
            },
        )
        if cursor.rowcount != 1:
            raise ViewsMoved

    # Queries.

    def selectable_methods(self) -> list[SelectableMethod]:
        """By internal name."""
        rows = self._select(
            f"SELECT method_id, spec, preinstalled, version FROM {self.prefix}selectable_methods ORDER BY internal_name"
        )
        return [SelectableMethod.model_validate(row) for row in rows]

    def selectable_method(self, internal_name: str) -> SelectableMethod | None:
        rows = self._select(
            f"SELECT method_id, spec, preinstalled, version FROM {self.prefix}selectable_methods "
            f"WHERE internal_name = {self._parameter('name')}",
            {"name": internal_name},
        )
        return SelectableMethod.model_validate(rows[0]) if rows else None

    def training_runs(
        self,
        *,
        method: str | None = None,
        method_version: int | None = None,
        status: RunStatus | None = None,
        requested_by: str | None = None,
        interrupted: bool = False,
        after: UUID | None = None,
        limit: int = 100,
    ) -> list[Run]:
        """The newest first; those that may be resumed, or behind the run `after`."""
        asked = {"method": method, "method_version": method_version, "status": status, "requested_by": requested_by}
        given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        conditions = [f"{name} = {self._parameter(name)}" for name in given]
        if interrupted:
            conditions += ["interrupted", "options IS NOT NULL"]
        if after is not None:
            given["after"] = after
            last = f"(SELECT requested_at FROM {self.prefix}training_runs WHERE run_id = {self._parameter('after')})"
            conditions.append(f"requested_at <= {last}")
            conditions.append(f"(requested_at < {last} OR run_id > {self._parameter('after')})")
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        rows = self._select(
            f"SELECT {', '.join(Run.model_fields)} FROM {self.prefix}training_runs {where}"
            f"ORDER BY requested_at DESC, run_id LIMIT {self._parameter('limit')}",
            {**given, "limit": limit},
        )
        return [Run.model_validate(row) for row in rows]

    def training_run(self, run_id: UUID) -> Run | None:
        rows = self._select(
            f"SELECT {', '.join(Run.model_fields)} FROM {self.prefix}training_runs "
            f"WHERE run_id = {self._parameter('run_id')}",
            {"run_id": run_id},
        )
        return Run.model_validate(rows[0]) if rows else None

    def selectable_methods_at(self, position: int) -> list[SelectableMethod]:
        """What was selectable when the log ended at this position, by internal name."""
        versions, given = f"{self.prefix}method_versions", self._parameter("position")
        rows = self._select(
            "SELECT v.method_id, v.spec, v.version, ("
            f"SELECT x.preinstalled FROM {versions} x WHERE x.method_id = v.method_id AND x.since <= v.since "
            "AND x.preinstalled IS NOT NULL ORDER BY x.since DESC LIMIT 1) AS preinstalled "
            f"FROM (SELECT (SELECT x.version_id FROM {versions} x WHERE x.method_id = began.method_id "
            f"AND x.since <= {given} ORDER BY x.since DESC LIMIT 1) AS last_id FROM {versions} began "
            f"WHERE began.version = 1) methods JOIN {versions} v ON v.version_id = methods.last_id "
            f"WHERE v.until IS NULL OR v.until > {given} ORDER BY v.internal_name",
            {"position": position},
        )
        return [SelectableMethod.model_validate(row) for row in rows]

    def hashes(self, *, since: int, limit: int) -> list[tuple[int, str]]:
        """The audit log's positions and hashes beyond a position."""
        rows = self._read(
            f"SELECT position, hash FROM {self.prefix}audit_log WHERE position > {since} "
            f"ORDER BY position LIMIT {limit}"
        )
        return [(row["position"], row["hash"]) for row in rows]

    def as_stored(self, row: Row) -> dict[str, Any]:
        """A row that a projection made, as `rows` would give it."""
        encoders = self._encoders
        return {
            name: value if (encode := encoders[type(value)]) is None else encode(value) for name, value in row.items()
        }

    def rows(self, table: KeptTable, *, since: int = 0, limit: int | None = None) -> Iterator[Row]:
        """A read model's rows in the order of its key, as they are stored; of the audit log those beyond `since`."""
        beyond = f"WHERE position > {since} " if table == "audit_log" else ""
        bound = f"LIMIT {limit}" if limit is not None else ""
        with self._transaction(write=False) as cursor:
            cursor.execute(f"SELECT * FROM {self.prefix}{table} {beyond}ORDER BY {KEYS_OF_ALL[table]} {bound}")
            while batch := cursor.fetchmany(1000):
                yield from (dict(row) for row in batch)

    def _read(self, statement: str, values: Mapping[str, Any] | None = None) -> list[Row]:
        """Rows as they are stored, without JSON or moments in them."""
        with self._transaction(write=False) as cursor:
            cursor.execute(statement, values or {})
            rows: list[Row] = cursor.fetchall()
            return rows

    def _select(self, statement: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        encoded = {name: self._encoded(value) for name, value in (values or {}).items()}
        return [self._decoded(row) for row in self._read(statement, encoded)]


class _Encoders(dict[type, Callable[[Any], Any] | None]):
    """How values of each type are encoded, found out once."""

    def __init__(self, encoder: Callable[[type], Callable[[Any], Any] | None]) -> None:
        self._encoder = encoder

    def __missing__(self, kind: type) -> Callable[[Any], Any] | None:
        self[kind] = found = self._encoder(kind)
        return found


def fingerprint(schema: str) -> str:
    """Tells one form of the tables from another: tables of another form are made anew, and the log replayed."""
    return hashlib.sha256(schema.encode()).hexdigest()
