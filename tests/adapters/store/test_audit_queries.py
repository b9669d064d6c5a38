"""Whatever is asked of the audit log, the answer is what a walk over all entries says, on both databases."""

import random
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.store.tables import create_tables
from domain.audit import audit_index
from domain.audit.audit_index import words
from domain.audit.read_models import AuditEntry, AuditQuery, CountBy
from domain.errors import TrainingMethodError
from domain.people.users import Origin
from infra.settings import Settings
from tests.support.people import ALICE, BOB, CARLA, PROVENANCE, TRAINERS, method, request
from tests.support.services import Services

IN_FLOW = ALICE.model_copy(update={"name": "prefect", "origin": Origin.FLOW, "flow_run_id": uuid4()})
USERS = [ALICE, BOB, CARLA, IN_FLOW]
NAMES = ["sft-one", "sft-two", "dpo-one"]
COLUMN = {
    "actor": "actor",
    "action": "action",
    "method": "method",
    "run": "run_id",
    "outcome": "outcome",
    "origin": "origin",
    "licence": "licence_id",
}


@pytest.fixture
def log(service: Services, monkeypatch: pytest.MonkeyPatch) -> tuple[Services, list[AuditEntry]]:
    """A log in which all kinds of things happened, and an index of it in many blocks."""
    monkeypatch.setattr(audit_index, "BLOCK", 8)
    chance = random.Random(7)
    runs = []
    for _ in range(150):
        name, by = chance.choice(NAMES), chance.choice(USERS)
        with suppress(TrainingMethodError):
            match chance.choice([0, 0, 0, 1, 2, 3, 3, 3, 3, 5, 5]):
                case 0:
                    service.catalogue.add(method(name, display_name=name.upper()), by=by)
                case 1:
                    service.catalogue.delete(name, by=by)
                case 2:
                    service.catalogue.modify(name, {"description": chance.choice(["a", "b"])}, by=by)
                case 3:
                    service.trainings.request(run_id := uuid4(), request(name), by=by)
                    runs.append(run_id)
                    service.trainings.start(run_id, PROVENANCE)
                case 5 if runs:
                    service.trainings.fail(chance.choice(runs), "why")
    return service, service.auditing.entries(AuditQuery(limit=1000))


def fits(entry: AuditEntry, query: AuditQuery) -> bool:
    return (
        all(getattr(query, name) in (None, getattr(entry, column)) for name, column in COLUMN.items())
        and (query.text is None or (words(query.text) != () and set(words(query.text)) <= set(words(entry.sentence))))
        and (query.since is None or entry.recorded_at >= query.since)
        and (query.until is None or entry.recorded_at <= query.until)
    )


def queries(entries: list[AuditEntry]) -> st.SearchStrategy[AuditQuery]:
    def one_of(column: str) -> st.SearchStrategy[Any]:
        return st.none() | st.sampled_from(sorted({str(v) for e in entries if (v := getattr(e, column)) is not None}))

    moments = st.none() | st.sampled_from([entry.recorded_at for entry in entries]).map(
        lambda moment: moment + timedelta(microseconds=1)
    )
    texts = st.none() | st.sampled_from(["added", "ALICE added", "sft one", "refused bob", "nothing", "…", "version 1"])
    return st.builds(
        AuditQuery,
        **{name: one_of(column) for name, column in COLUMN.items()},
        text=texts,
        since=moments,
        until=moments,
        newest_first=st.booleans(),
        limit=st.integers(1, 9),
    )


def test_pages_are_what_a_walk_over_all_entries_says(log) -> None:
    service, entries = log
    assert len(entries) > 50
    assert {entry.outcome for entry in entries} == {"done", "refused"}

    @settings(deadline=None, max_examples=70, suppress_health_check=list(HealthCheck))
    @given(query=queries(entries))
    def check(query: AuditQuery) -> None:
        expected = [entry for entry in entries if fits(entry, query)]
        if query.newest_first:
            expected.reverse()
        found: list[AuditEntry] = []
        after: int | None = None
        while True:
            page = service.auditing.page(query.model_copy(update={"after": after}))
            assert len(page.entries) <= query.limit
            found += page.entries
            if (after := page.next_after) is None:
                break
        assert found == expected

    check()


def test_counts_are_what_a_walk_over_all_entries_says(log) -> None:
    service, entries = log
    columns = {by: COLUMN[by] for by in CountBy if by is not CountBy.DAY}

    @settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
    @given(query=queries(entries), by=st.sampled_from(CountBy))
    def check(query: AuditQuery, by: CountBy) -> None:
        fitting = [entry for entry in entries if fits(entry, query)]
        values = [
            entry.recorded_at.date().isoformat() if by is CountBy.DAY else getattr(entry, columns[by])
            for entry in fitting
        ]
        expected = Counter(None if value is None else str(value) for value in values)
        assert {count.value: count.entries for count in service.auditing.counts(by, query)} == expected

    check()


def test_pages_stay_where_they_are_while_the_log_grows(service: Services) -> None:
    for number in range(6):
        service.catalogue.add(method(f"sft-{number}"), by=ALICE)
    newest = service.auditing.page(AuditQuery(newest_first=True, limit=3))
    service.catalogue.add(method("sft-later"), by=ALICE)
    older = service.auditing.page(AuditQuery(newest_first=True, limit=10, after=newest.next_after))
    assert [entry.position for entry in newest.entries] == [6, 5, 4]
    assert [entry.position for entry in older.entries] == [3, 2, 1]
    assert older.next_after is None


def test_a_text_of_any_number_of_words_can_be_asked_for(service: Services) -> None:
    service.catalogue.add(method("sft-1", display_name=" ".join(f"w{number}" for number in range(20))), by=ALICE)
    many = " ".join(f"w{number}" for number in range(1200))
    assert service.auditing.entries(AuditQuery(text=many)) == []
    assert service.auditing.counts(CountBy.ACTION, AuditQuery(text=many)) == []
    assert len(service.auditing.entries(AuditQuery(text=" ".join(many.split()[:20])))) == 1


def test_what_was_selectable_at_a_moment(service: Services) -> None:
    moments = [service.auditing.entries()[-1].recorded_at if service.auditing.entries() else None]
    expected = [[]]
    for step in (
        lambda: service.catalogue.add(method("sft-one"), by=ALICE),
        lambda: service.catalogue.add(method("sft-two"), by=ALICE),
        lambda: service.catalogue.modify("sft-one", {"description": "new"}, by=ALICE),
        lambda: service.catalogue.delete("sft-two", by=ALICE),
        lambda: service.catalogue.add(method("sft-two", description="again"), by=ALICE),
    ):
        step()
        moments.append(service.auditing.entries(AuditQuery(newest_first=True, limit=1))[0].recorded_at)
        expected.append(service.catalogue.selectable())
    assert moments[1] is not None
    assert service.catalogue.selectable(as_of=moments[1] - timedelta(seconds=1)) == []
    for moment, methods in zip(moments[1:], expected[1:], strict=True):
        assert moment is not None
        assert service.catalogue.selectable(as_of=moment) == methods


CONDITIONS: dict[str, dict[str, Any]] = {
    "audit_log_by_run": {"run": uuid4()},
    "PRIMARY KEY": {},
    **{
        f"audit_index for {name}": {name: value}
        for name, value in {
            "actor": "alice",
            "action": "add",
            "method": "sft-one",
            "origin": "flow",
            "licence": "L-17",
            "outcome": "refused",
            "text": "added",
        }.items()
    },
}


def walks(step: str) -> bool:
    return step.startswith("SCAN") and "views_head" not in step


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(("index", "conditions"), CONDITIONS.items(), ids=CONDITIONS)
def test_every_condition_is_found_through_an_index_and_nothing_is_sorted(
    tmp_path, index: str, conditions: dict[str, Any], newest_first: bool
) -> None:
    settings = Settings(home=tmp_path / "home", backends="cuda")
    create_tables(settings)
    with Services(settings, TRAINERS) as service:
        service.catalogue.add(method("sft-one"), by=ALICE)
        views = service.log.views
        plans: list[str] = []

        def explained(asking: Any) -> Any:
            def ask(statement: str, values: Any = None) -> Any:
                encoded = {name: str(value) for name, value in (values or {}).items()}
                with closing(sqlite3.connect(settings.sqlite_file)) as connection:
                    plans.extend(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", encoded))
                return asking(statement, values)

            return ask

        views._select, views._read = explained(views._select), explained(views._read)
        views.audit_page(AuditQuery(**conditions, after=0 if not newest_first else 5, newest_first=newest_first))
    assert [step for step in plans if walks(step)] == []
    assert any(index.partition(" for ")[0] in step for step in plans), plans
    assert [step for step in plans if "TEMP B-TREE" in step] == []
