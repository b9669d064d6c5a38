"""Changes that are folded come to what the same changes, made one by one, come to."""

from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from adapters.store.folding import Folded, folded
from adapters.store.sql_views import KEYS
from domain.audit.read_models import Insert, Remove, RowChange, Update

Rows = dict[UUID, dict[str, Any]]
METHODS = [UUID(int=1), UUID(int=2), UUID(int=3)]


def made_one_by_one(changes: list[RowChange], rows: Rows) -> Rows:
    rows = dict(rows)
    for change in changes:
        match change:
            case Insert(row=row):
                rows[row["method_id"]] = row
            case Update(key=key, row=row) if key in rows:
                rows[key] = rows[key] | row
            case Remove(key=key):
                rows.pop(key, None)
    return rows


def written(fold: Folded, rows: Rows) -> Rows:
    rows = {key: row for key, row in rows.items() if key not in fold.removed}
    assert not rows.keys() & fold.inserted.keys()
    rows |= {key: dict(row) for key, row in fold.inserted.items()}
    return {key: row | fold.updated.get(key, {}) for key, row in rows.items()}


def changes_of(rows: Rows) -> st.SearchStrategy[list[RowChange]]:
    """Changes as projections make them: a row is put in only where there is none."""

    @st.composite
    def some(draw: st.DrawFn) -> list[RowChange]:
        made: list[RowChange] = []
        for number in range(draw(st.integers(0, 12))):
            key = draw(st.sampled_from(METHODS))
            there = key in made_one_by_one(made, rows)
            kind = draw(st.sampled_from(["update", "remove"] if there else ["insert", "update", "remove"]))
            if kind == "insert":
                made.append(Insert("selectable_methods", {"method_id": key, "version": number, "spec": "new"}))
            elif kind == "update":
                made.append(Update("selectable_methods", key, {draw(st.sampled_from(["version", "spec"])): number}))
            else:
                made.append(Remove("selectable_methods", key))
        return made

    return some()


THERE: Rows = {METHODS[0]: {"method_id": METHODS[0], "version": -1, "spec": "old"}}


@given(changes=changes_of(THERE))
def test_folded_changes_come_to_the_same(changes: list[RowChange]) -> None:
    before = [repr(change) for change in changes]
    assert written(folded(changes, KEYS)["selectable_methods"], THERE) == made_one_by_one(changes, THERE)
    assert [repr(change) for change in changes] == before
