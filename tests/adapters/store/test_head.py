"""The head of the log: number, time and lock of every append come from it, and nobody chooses them."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent

from adapters.store.tables import create_tables
from domain.errors import DatabaseUnavailable
from infra.settings import Settings
from infra.upkeep.doctor import checks
from infra.wiring import Installation
from tests.adapters.store.test_protection import as_role
from tests.support.people import ALICE, BOB, TRAINERS, method, request
from tests.support.services import Services

STREAM = UUID(int=7)
COLUMNS = "originator_id, originator_version, topic, state"
ALL = f"rowid, {COLUMNS}, recorded_at"
EARLY = "'2001-01-01T00:00:00.000000+00:00'"
VALUES = "gen_random_uuid(), 1, 'x', ''"

# The tables as they were before the log had a head.
OLD_POSTGRES = """
CREATE SCHEMA tmm;
CREATE TABLE tmm.stored_events (
    originator_id uuid NOT NULL, originator_version bigint NOT NULL, topic text NOT NULL, state bytea NOT NULL,
    notification_id bigserial, recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (originator_id, originator_version)
);
CREATE UNIQUE INDEX stored_events_notification_id ON tmm.stored_events (notification_id);
CREATE TYPE tmm.stored_event_uuid AS (originator_id uuid, originator_version bigint, topic text, state bytea);
DO $$ BEGIN CREATE ROLE tmm_application NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
GRANT USAGE ON SCHEMA tmm TO tmm_application;
GRANT SELECT, INSERT ON tmm.stored_events TO tmm_application;
GRANT USAGE ON SEQUENCE tmm.stored_events_notification_id_seq TO tmm_application;
"""
OLD_SQLITE = """
CREATE TABLE stored_events (
    originator_id TEXT NOT NULL, originator_version INTEGER NOT NULL, topic TEXT NOT NULL, state BLOB NOT NULL,
    recorded_at TEXT NOT NULL, PRIMARY KEY (originator_id, originator_version)
);
CREATE TRIGGER stored_events_are_not_updated BEFORE UPDATE ON stored_events
    BEGIN SELECT RAISE(ABORT, 'the event log is never changed'); END;
CREATE TRIGGER stored_events_are_not_deleted BEFORE DELETE ON stored_events
    BEGIN SELECT RAISE(ABORT, 'the event log is never changed'); END;
"""


@pytest.fixture
def owned(postgres_url: str, tmp_path: Path) -> Settings:
    """A PostgreSQL that its owner has migrated."""
    settings = Settings(home=tmp_path, database_url=postgres_url)
    create_tables(settings)
    return settings


def numbers(service: Services) -> list[int]:
    return [event.id for event in service.log.recorder.select_notifications(start=None, limit=1000)]


def stored(topic: str = "x", version: int = 1, stream: UUID | None = None) -> StoredEvent:
    return StoredEvent(stream or uuid4(), version, topic, b"{}")


# Numbers.


def test_an_append_that_fails_leaves_no_gap(service: Services) -> None:
    service.log.recorder.insert_events([stored(stream=STREAM)])
    for _ in range(3):
        with pytest.raises(IntegrityError):
            service.log.recorder.insert_events([stored(), stored(stream=STREAM)])
        with pytest.raises(IntegrityError):
            service.log.recorder.insert_events([stored()], unchanged={STREAM: 5})
    assert list(service.log.recorder.insert_events([stored(), stored()]) or ()) == [2, 3]
    assert numbers(service) == [1, 2, 3]
    assert service.log.recorder.max_notification_id() == 3


@pytest.mark.parametrize("role", ["tmm_application", "tmm_auditor"])
@pytest.mark.parametrize(
    "statement",
    [
        f"INSERT INTO tmm.stored_events ({COLUMNS}, notification_id) VALUES ({VALUES}, 9223372036854775807)",
        f"INSERT INTO tmm.stored_events ({COLUMNS}, recorded_at) VALUES ({VALUES}, '2001-01-01')",
        f"INSERT INTO tmm.stored_events ({COLUMNS}) VALUES ({VALUES})",
        "UPDATE tmm.log_head SET number = 9223372036854775807",
        "DELETE FROM tmm.log_head",
        "INSERT INTO tmm.log_head VALUES (1, now(), 1)",
        "CREATE OR REPLACE FUNCTION tmm.take_next_number() RETURNS trigger LANGUAGE sql AS ''",
    ],
)
def test_no_role_chooses_a_number_or_a_time(owned: Settings, role: str, statement: str) -> None:
    with (
        psycopg.connect(as_role(owned.database_url, role)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


def test_the_owner_who_inserts_by_hand_has_the_next_number_and_the_present_time(owned: Settings) -> None:
    with psycopg.connect(owned.database_url) as connection:
        connection.execute(
            f"INSERT INTO tmm.stored_events ({COLUMNS}, notification_id, recorded_at) "
            f"VALUES ({VALUES}, 9223372036854775807, '2001-01-01')"
        )
        row = connection.execute(
            "SELECT notification_id, recorded_at > now() - interval '1 day' FROM tmm.stored_events"
        )
        assert row.fetchone() == (1, True)


def test_an_event_beyond_the_head_is_found_and_hides_nothing(owned: Settings) -> None:
    with Installation(owned) as installation:
        service = installation
        service.catalogue.add(method("sft-one"), by=ALICE)
        with psycopg.connect(owned.database_url) as connection:
            connection.execute("ALTER TABLE tmm.stored_events DISABLE TRIGGER USER")
            connection.execute(
                f"INSERT INTO tmm.stored_events ({COLUMNS}, notification_id, recorded_at) "
                f"VALUES ({VALUES}, 9223372036854775807, '2001-01-01')"
            )
            connection.execute("ALTER TABLE tmm.stored_events ENABLE TRIGGER USER")
        service.catalogue.add(method("sft-two"), by=ALICE)
        assert [entry.subject_name for entry in service.auditing.entries()] == ["sft-one", "sft-two"]
        assert [found.words for found in installation.proof.verify().findings] == [
            "an event stands beyond the log's end, with a number that the log did not give"
        ]


# The lock.


def test_an_auditor_who_holds_what_locks_there_are_stops_nobody(owned: Settings) -> None:
    with (
        Services(owned, TRAINERS) as service,
        psycopg.connect(as_role(owned.database_url, "tmm_auditor")) as auditor,
    ):
        for key in (7_461_001, 7_461_002):
            auditor.execute("SELECT pg_advisory_lock(%s)", (key,))
        auditor.execute("SELECT * FROM tmm.log_head, tmm.stored_events")
        auditor.execute("LOCK TABLE tmm.log_head, tmm.stored_events, tmm.audit_log IN ACCESS SHARE MODE")
        service.catalogue.add(method(), by=ALICE)
        create_tables(owned)
        assert [entry.action for entry in service.auditing.entries()] == ["add"]


def test_whoever_falls_silent_with_the_log_in_hand_loses_it(owned: Settings) -> None:
    silent = psycopg.connect(as_role(owned.database_url, "tmm_application"))
    silent.execute("SELECT tmm.append(ARRAY[gen_random_uuid()], '{1}', '{x}', ARRAY[''::bytea], '{}', '{}')")
    with Services(owned, TRAINERS) as service:
        service.log.recorder.insert_events([stored()])
        assert numbers(service) == [1]
    with pytest.raises(psycopg.Error):
        silent.execute("SELECT 1")
    silent.close()


def test_a_large_append_is_done_at_once_and_holds_nobody_up(service: Services) -> None:
    large = StoredEvent(uuid4(), 1, "x", b'"' + b"x" * 5_000_000 + b'"')
    barrier = threading.Barrier(3)

    def append(event: StoredEvent) -> Any:
        barrier.wait(60)
        return service.log.recorder.insert_events([event])

    with ThreadPoolExecutor(3) as threads:
        appended = [threads.submit(append, event) for event in (large, stored(), stored())]
        assert sorted(number for each in appended for number in each.result(30)) == [1, 2, 3]


# SQLite.


@pytest.fixture
def file(tmp_path: Path) -> Path:
    settings = Settings(home=tmp_path / "home", backends="cuda")
    with Installation(settings) as installation:
        installation.migrate()
    return settings.sqlite_file


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR REPLACE INTO stored_events SELECT * FROM stored_events WHERE rowid = 2",
        "REPLACE INTO stored_events SELECT originator_id, 1, 'x', '{}', recorded_at FROM stored_events",
        f"INSERT OR REPLACE INTO stored_events ({ALL}) "
        "SELECT rowid, 'other', 1, topic, state, recorded_at FROM stored_events",
        "INSERT INTO stored_events SELECT * FROM stored_events WHERE true "
        "ON CONFLICT (originator_id, originator_version) DO UPDATE SET topic = 'x'",
        *(
            f"INSERT OR REPLACE INTO stored_events ({ALL}) "
            f"SELECT {number}, 'other', 1, topic, state, recorded_at FROM stored_events ORDER BY rowid DESC LIMIT 1"
            for number in ("9223372036854775807", "rowid + 2", "rowid", "0", "-1")
        ),
        f"INSERT INTO stored_events SELECT 'other', 1, topic, state, {EARLY} FROM stored_events",
    ],
)
def test_sqlite_takes_no_event_in_the_place_of_another_nor_out_of_order(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        everything = "SELECT rowid, * FROM stored_events"
        before = connection.execute(everything).fetchall()
        assert len(before) > 2
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)
        assert connection.execute(everything).fetchall() == before


def test_sqlite_takes_the_next_event_as_ever(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        (last,) = connection.execute("SELECT max(rowid) FROM stored_events").fetchone()
        copied = "topic, state, recorded_at FROM stored_events WHERE rowid = ?"
        connection.execute(f"INSERT INTO stored_events SELECT 'other', 1, {copied}", (last,))
        connection.execute(f"INSERT INTO stored_events ({ALL}) SELECT rowid + 2, 'other', 2, {copied}", (last,))
        assert connection.execute("SELECT max(rowid) FROM stored_events").fetchone() == (last + 2,)


# Time.


def set_head(settings: Settings, ahead: timedelta) -> None:
    """The newest entry was recorded by a clock that was ahead."""
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("UPDATE tmm.log_head SET recorded_at = clock_timestamp() + %s", (ahead,))


def test_the_database_records_nothing_before_the_newest_entry(owned: Settings) -> None:
    with Services(owned, TRAINERS) as service:
        service.catalogue.add(method("sft-one"), by=ALICE)
        set_head(owned, timedelta(days=900))
        service.catalogue.add(method("sft-two"), by=ALICE)
        first, second = service.auditing.entries()
        assert second.recorded_at - first.recorded_at > timedelta(days=899)


# Stores from before the log had a head.


def old_events() -> Iterator[tuple[Any, ...]]:
    """Numbers with a gap, and times that go back, as they could be then: number, stream, topic, state, recorded at."""
    from adapters.store.mapper import PydanticMapper
    from domain.catalogue.training_method import TrainingMethod

    began = datetime(2026, 1, 1, tzinfo=UTC)
    for number, days in ((1, 0), (2, 5), (5, 2), (6, 3)):
        (event,) = TrainingMethod.add(method(f"sft-{number}"), by=ALICE, command_id=uuid4()).collect_events()
        kept = PydanticMapper().to_stored_event(event)
        yield number, kept.originator_id, kept.topic, kept.state, began + timedelta(days=days)


@pytest.fixture
def old(postgres_url: str, tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path, database_url=postgres_url, backends="cuda")
    with psycopg.connect(postgres_url) as connection:
        connection.execute(OLD_POSTGRES)
        for row in old_events():
            connection.execute(
                "INSERT INTO tmm.stored_events (notification_id, originator_id, originator_version, topic, state, "
                "recorded_at) VALUES (%s, %s, 1, %s, %s, %s)",
                row,
            )
        connection.execute("SELECT setval('tmm.stored_events_notification_id_seq', 9)")
    return settings


def test_an_older_database_is_recognised_and_migrate_takes_it_over(old: Settings) -> None:
    with Installation(old) as installation, pytest.raises(DatabaseUnavailable, match="tmm migrate"):
        installation.auditing.entries()
    create_tables(old)
    create_tables(old)
    with Installation(old) as installation:
        service = installation
        service.catalogue.add(method("sft-new"), by=ALICE)
        assert numbers(service) == [1, 2, 5, 6, 7]
        verified = installation.proof.verify()
        assert verified.findings == ()
        assert [(note.position, "did not keep it in order yet" in note.words) for note in verified.notes] == [(3, True)]
    for statement in (
        f"INSERT INTO tmm.stored_events ({COLUMNS}) VALUES ({VALUES})",
        "SELECT nextval('tmm.stored_events_notification_id_seq')",
    ):
        with (
            psycopg.connect(as_role(old.database_url, "tmm_application")) as connection,
            pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable)),
        ):
            connection.execute(statement)


def test_a_number_that_was_made_up_before_does_not_end_an_older_database(old: Settings) -> None:
    with psycopg.connect(as_role(old.database_url, "tmm_application")) as connection:
        connection.execute(
            f"INSERT INTO tmm.stored_events ({COLUMNS}, notification_id) VALUES ({VALUES}, 9223372036854775807)"
        )
    create_tables(old)
    with Installation(old) as installation:
        installation.catalogue.add(method("sft-new"), by=ALICE)
        assert numbers(installation) == [1, 2, 5, 6, 7]
        assert len(installation.proof.verify().findings) == 1


def test_an_older_file_gets_its_triggers_when_somebody_opens_it_who_may_write(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", backends="cuda")
    settings.home.mkdir()
    with closing(sqlite3.connect(settings.sqlite_file, isolation_level=None)) as connection:
        connection.executescript(OLD_SQLITE)
        for _, stream, topic, state, recorded_at in old_events():
            row = (stream.hex, topic, state, recorded_at.isoformat(timespec="microseconds"))
            connection.execute("INSERT INTO stored_events VALUES (?, 1, ?, ?, ?)", row)
    with Installation(settings) as installation:
        assert installation.catalogue.method("sft-6")
        verified = installation.proof.verify()
        assert verified.findings == ()
        assert [note.position for note in verified.notes] == [3]
    with (
        closing(sqlite3.connect(settings.sqlite_file)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="never"),
    ):
        connection.execute("INSERT OR REPLACE INTO stored_events SELECT * FROM stored_events")


# The service as the role that is meant for it.


@pytest.fixture
def login(owned: Settings) -> Iterator[Any]:
    """Makes a user of the database with one of the roles; settings with which to be it."""
    made = []

    def log_in(role: str) -> Settings:
        name = f"user_{uuid4().hex[:8]}"
        with psycopg.connect(owned.database_url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {name} LOGIN IN ROLE {role}")
        made.append(name)
        url = owned.database_url.replace("://postgres:", f"://{name}:")
        assert name in url
        return owned.model_copy(update={"database_url": url})

    yield log_in
    with psycopg.connect(owned.database_url, autocommit=True) as connection:
        for name in made:
            connection.execute(f"DROP ROLE {name}")


def test_a_user_with_the_application_role_runs_the_service(owned: Settings, login: Any) -> None:
    with Installation(login("tmm_application").model_copy(update={"backends": owned.backends})) as service_user:
        assert service_user.preinstall()  # what `tmm up` and `tmm worker` begin with
        service = service_user
        service.catalogue.add(method("sft-two"), by=ALICE)
        service.trainings.request(uuid4(), request("sft-two"), by=BOB)
        assert service.operating.rebuild_views(by=ALICE).agreed
        assert service_user.proof.verify().findings == ()
        assert {check.name: check.ok for check in checks(service_user)}["database"]
        assert service_user.user().entitlement.because == "no licence is installed"


def test_a_user_with_the_auditor_role_verifies_and_changes_nothing(owned: Settings, login: Any) -> None:
    with Services(owned, TRAINERS) as service:
        service.catalogue.add(method(), by=ALICE)
    with Installation(login("tmm_auditor")) as auditor:
        assert [entry.action for entry in auditor.auditing.entries()] == ["add"]
        assert auditor.proof.verify().findings == ()
        with pytest.raises(Exception, match="permission denied"):
            auditor.catalogue.add(method("sft-two"), by=ALICE)
