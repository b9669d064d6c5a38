"""What is stored is protected: by roles and triggers in PostgreSQL, by permissions and triggers in SQLite."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest

from adapters.store.tables import create_tables
from domain.audit.read_models import AuditQuery
from domain.errors import CommercialUsersOnly, DatabaseUnavailable, InvalidMethod, InvalidRunRequest
from infra.settings import Settings
from infra.wiring import Installation
from tests.support.people import ALICE, BOB, PROVENANCE, TRAINERS, method, request
from tests.support.services import Services

CHANGES = ["UPDATE {} SET topic = 'x'", "DELETE FROM {}"]


def as_role(url: str, role: str) -> str:
    return f"{url}&options={quote(f'-c role={role}')}"


@pytest.fixture
def owned(postgres_url: str, tmp_path: Path) -> Iterator[Settings]:
    """A PostgreSQL that its owner has migrated, with one method in it."""
    settings = Settings(home=tmp_path, database_url=postgres_url)
    create_tables(settings)
    with Services(settings, TRAINERS) as service:
        service.catalogue.add(method(), by=ALICE)
    return settings


@pytest.mark.parametrize("change", [*CHANGES, "TRUNCATE {}", "DROP TABLE {}", "ALTER TABLE {} DISABLE TRIGGER ALL"])
@pytest.mark.parametrize("role", ["tmm_application", "tmm_auditor"])
def test_neither_role_can_change_events(owned: Settings, role: str, change: str) -> None:
    with (
        psycopg.connect(as_role(owned.database_url, role)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(change.format("tmm.stored_events"))


@pytest.mark.parametrize("change", [*CHANGES, "TRUNCATE {}"])
def test_even_the_owner_is_stopped_by_a_trigger(owned: Settings, change: str) -> None:
    with psycopg.connect(owned.database_url) as connection, pytest.raises(psycopg.errors.RaiseException, match="never"):
        connection.execute(change.format("tmm.stored_events"))


def test_the_application_role_can_do_all_that_the_service_does(owned: Settings) -> None:
    application = owned.model_copy(update={"database_url": as_role(owned.database_url, "tmm_application")})
    with Services(application, TRAINERS) as service:
        service.catalogue.add(method("sft-two"), by=ALICE)
        run_id = uuid4()
        service.trainings.request(run_id, request("sft-two"), by=ALICE)
        service.trainings.start(run_id, PROVENANCE)
        service.catalogue.delete("sft-two", by=ALICE)
        assert service.operating.rebuild_views(by=ALICE).agreed
        assert [entry.action for entry in service.auditing.entries()] == [
            "add",
            "add",
            "request",
            "start",
            "delete",
            "rebuild",
        ]


def test_an_auditor_reads_the_views_as_they_stand_and_is_told_how_current_they_are(owned: Settings) -> None:
    auditor = owned.model_copy(update={"database_url": as_role(owned.database_url, "tmm_auditor")})
    with Services(owned, TRAINERS) as writer, Services(auditor, TRAINERS) as service:
        from domain.catalogue.training_method import TrainingMethod

        writer.log.save(TrainingMethod.add(method("sft-late"), by=ALICE, command_id=uuid4()))  # not projected yet
        assert not service.auditing.views_writable
        assert [entry.subject_name for entry in service.auditing.entries()] == ["sft-support"]
        assert service.auditing.up_to() == (1, service.auditing.entries()[0].recorded_at)
        assert [found.spec.internal_name for found in service.catalogue.selectable()] == ["sft-support"]
        writer.log.catch_up()
        assert [entry.subject_name for entry in service.auditing.entries()] == ["sft-support", "sft-late"]
        assert service.auditing.up_to()[0] == 2


def test_an_auditor_cannot_append_or_change_views_or_hold_the_log(owned: Settings) -> None:
    auditor = as_role(owned.database_url, "tmm_auditor")
    for statement in (
        "INSERT INTO tmm.stored_events (originator_id, originator_version, topic, state) "
        "VALUES (gen_random_uuid(), 1, 'x', '')",
        "SELECT tmm.append('{}', '{}', '{}', '{}', '{}', '{}')",
        "UPDATE tmm.audit_log SET actor = 'x'",
        "UPDATE tmm.log_head SET number = 1",
        *(f"SELECT * FROM tmm.log_head FOR {lock}" for lock in ("UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE")),
        "LOCK TABLE tmm.log_head IN ROW EXCLUSIVE MODE",
        "LOCK TABLE tmm.stored_events IN ROW EXCLUSIVE MODE",
    ):
        with psycopg.connect(auditor) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)
    settings = owned.model_copy(update={"database_url": auditor})
    with Installation(settings) as installation:
        with pytest.raises(Exception, match="permission denied") as refused:
            installation.catalogue.add(method("sft-two"), by=ALICE)
        assert isinstance(installation.explain(refused.value), DatabaseUnavailable)


@pytest.mark.parametrize("change", CHANGES)
def test_a_trigger_keeps_sqlite_events_as_they_are(tmp_path: Path, change: str) -> None:
    settings = Settings(home=tmp_path / "home", backends="cuda")
    with Installation(settings) as installation:
        installation.migrate()
    assert settings.sqlite_file.stat().st_mode & 0o077 == 0
    with (
        closing(sqlite3.connect(settings.sqlite_file)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="never"),
    ):
        connection.execute(change.format("stored_events"))


SECRETS = {
    "a password in a URL": "postgresql://alice:s3cr3t-w0rd@host/db",
    "a licence": "eyJhbGciOiJFZERTQSJ9.eyJjdXN0b21lciI6IkFDTUUifQ.c2VjcmV0c2VjcmV0c2VjcmV0",
    "a private key": "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHNlY3JldHNlY3JldA\n-----END PRIVATE KEY-----",
    "a hub's token": "hf_abcdefghijklmnopqrstuvwxyz",
}
PARTS = ["s3cr3t-w0rd", "c2VjcmV0c2VjcmV0c2VjcmV0", "MC4CAQAwBQYDK2VwBCIEIHNlY3JldHNlY3JldA", "ijklmnopqrstuvwxyz"]


def everything_stored(service: Services) -> str:
    events: Any = service.log.recorder.select_notifications(start=None, limit=1000)
    return "".join(event.state.decode() for event in events) + repr(service.auditing.entries(AuditQuery(limit=1000)))


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_planted_secrets_never_reach_the_log(service: Services, secret: str) -> None:
    service.catalogue.add(method(), by=ALICE)
    with pytest.raises(InvalidMethod, match="description: holds a password, token or key"):
        service.catalogue.add(method("sft-two", description=f"see {secret}"), by=ALICE)
    with pytest.raises(InvalidMethod, match="default_dataset"):
        service.catalogue.modify("sft-support", {"default_dataset": secret}, by=ALICE)
    for field in ("base_model", "dataset"):
        with pytest.raises(InvalidRunRequest, match=field):
            service.trainings.request(uuid4(), request(**{field: secret}), by=ALICE)
    with pytest.raises(CommercialUsersOnly):
        service.catalogue.modify("sft-support", {"description": f"see {secret}"}, by=BOB)
    run_id = uuid4()
    service.trainings.request(run_id, request(), by=ALICE)
    service.trainings.fail(run_id, f"could not reach {secret} (password=hunter-22)")
    stored = everything_stored(service)
    assert [part for part in [*PARTS, "hunter-22"] if part in stored] == []
    assert "[secret removed]" in stored
