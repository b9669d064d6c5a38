"""Many changes of rows, made into the few that come to the same: each row is written once for a whole batch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.audit.read_models import Insert, Remove, RowChange, Table, Update

Row = Mapping[str, Any]


@dataclass
class Folded:
    """What becomes of one table. Write it in this order: no key is in it twice, but as removed and put in anew."""

    removed: dict[Any, None] = field(default_factory=dict)
    inserted: dict[Any, Row] = field(default_factory=dict)
    updated: dict[Any, Row] = field(default_factory=dict)

    def put_in(self, key: Any, row: Row) -> None:
        self.updated.pop(key, None)
        self.inserted[key] = row

    def change(self, key: Any, row: Row) -> None:
        rows = self.inserted if key in self.inserted else self.updated
        rows[key] = {**rows.get(key, {}), **row}

    def remove(self, key: Any) -> None:
        self.updated.pop(key, None)
        if self.inserted.pop(key, None) is None:
            self.removed[key] = None


def folded(changes: Sequence[RowChange], keys: Mapping[Table, str]) -> dict[Table, Folded]:
    """What the changes come to, table by table; `keys` are the tables' key columns."""
    tables = {table: Folded() for table in keys}
    for change in changes:
        match change:
            case Insert(table=table, row=row):
                tables[table].put_in(row[keys[table]], row)
            case Update(table=table, key=key, row=row):
                tables[table].change(key, row)
            case Remove(table=table, key=key):
                tables[table].remove(key)
    return tables


def alike(rows: Mapping[Any, Row]) -> Iterator[tuple[tuple[str, ...], list[tuple[Any, Row]]]]:
    """Rows by key, those with the same columns together."""
    groups: dict[tuple[str, ...], list[tuple[Any, Row]]] = {}
    for key, row in rows.items():
        groups.setdefault(tuple(row), []).append((key, row))
    yield from groups.items()
