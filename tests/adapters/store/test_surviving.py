"""What an event log must survive: lost answers, killed processes, a database that restarts."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import psycopg
import pytest

from adapters.store.tables import create_tables
from infra.settings import CHECKOUT, Settings
from tests.adapters.store.proxy import Network
from tests.conftest import PostgresServer
from tests.support.people import ALICE, TRAINERS, method
from tests.support.services import Services

ADD_FOR_EVER = """
import sys
from infra.settings import Settings
from tests.support.services import Services
from tests.support.people import ALICE, TRAINERS, method
with Services(Settings.from_environment(), TRAINERS) as service:
    for number in range(100_000):
        service.catalogue.add(method(f"sft-{sys.argv[1]}-{number}"), by=ALICE)
        print(f"sft-{sys.argv[1]}-{number}", flush=True)
"""


def everything(service: Services):
    return service.catalogue.selectable(), service.trainings.all(), service.auditing.entries()


def test_an_add_whose_acknowledgement_was_lost_succeeds_once(postgres_url: str, tmp_path: Path) -> None:
    address = urlsplit(postgres_url)
    folder = parse_qs(address.query)["host"][0]
    create_tables(Settings(home=tmp_path, database_url=postgres_url))
    with Network.to(f"{folder}/.s.PGSQL.5432") as network:
        url = f"postgresql://{address.username}@127.0.0.1:{network.port}{address.path}?sslmode=disable"
        with Services(Settings(home=tmp_path, database_url=url), TRAINERS) as service:
            service.catalogue.add(method("before"), by=ALICE)
            network.lose_the_answer_to(b"training-method.added")  # an append is one statement, and its own commit
            added = service.catalogue.add(method("lost"), by=ALICE)
            assert network.lost.is_set()
            assert added.version == 1
            assert [entry.subject_name for entry in service.auditing.entries()] == ["before", "lost"]


def test_a_command_repeated_by_its_caller_is_recognised(service: Services) -> None:
    command_id = uuid4()
    service.catalogue.add(method(), by=ALICE, command_id=command_id)
    service.catalogue.delete("sft-support", by=ALICE)
    with pytest.raises(Exception, match="was deleted"):
        service.catalogue.add(method(), by=ALICE, command_id=command_id)
    assert [entry.action for entry in service.auditing.entries()] == ["add", "delete"]


@pytest.mark.processes
def test_killed_writers_lose_and_double_nothing(migrated: Settings) -> None:
    acknowledged: list[str] = []
    for round_ in range(2):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", ADD_FOR_EVER, f"{round_}-{writer}"],
                stdout=subprocess.PIPE,
                text=True,
                cwd=CHECKOUT,
                env=os.environ | migrated.as_environment() | {"PYTHONPATH": str(CHECKOUT)},
            )
            for writer in range(2)
        ]
        for writer in writers:
            assert writer.stdout is not None
            acknowledged += [writer.stdout.readline().strip() for _ in range(4)]
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        for writer in writers:
            assert writer.stdout is not None
            acknowledged += [line.strip() for line in writer.stdout if line.endswith("\n")]
            writer.wait(30)
            writer.stdout.close()
    with Services(migrated, TRAINERS) as service:
        before = everything(service)
        names = [found.spec.internal_name for found in before[0]]
        entries = before[2]
        while len(page := service.auditing.entries(_after(entries[-1].position))) > 0:
            entries = [*entries, *page]
        assert set(acknowledged) <= set(names)
        assert len(names) - len(acknowledged) <= 4  # at most the ones under way when they were killed
        assert [entry.position for entry in entries] == list(range(1, len(names) + 1))
        assert sorted(entry.subject_name for entry in entries) == sorted(names)
        assert service.operating.rebuild_views(by=ALICE).agreed
        methods, runs, audit = everything(service)
        assert (methods, runs, audit[: len(before[2])]) == before


def _after(position: int):
    from domain.audit.read_models import AuditQuery

    return AuditQuery(after=position)


@pytest.mark.processes
def test_a_restart_of_postgresql_loses_and_doubles_nothing(
    postgres_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, database_url=postgres_url)
    create_tables(settings)
    with Services(settings, TRAINERS) as service, ThreadPoolExecutor(1) as thread:
        names = [f"sft-{number}" for number in range(30)]

        def add_all() -> None:
            for name in names:
                service.catalogue.add(method(name), by=ALICE)

        service.catalogue.add(method("first"), by=ALICE)
        adding = thread.submit(add_all)
        postgres_server.crash_and_start_again()
        adding.result(120)
        assert [entry.subject_name for entry in service.auditing.entries()] == ["first", *names]


def test_an_add_and_a_read_survive_connections_that_the_server_ended(postgres_url: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url=postgres_url)
    create_tables(settings)
    with Services(settings, TRAINERS) as service, psycopg.connect(postgres_url, autocommit=True) as administrator:
        service.catalogue.add(method("first"), by=ALICE)

        def end_connections() -> None:
            administrator.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

        end_connections()
        assert [found.spec.internal_name for found in service.catalogue.selectable()] == ["first"]
        end_connections()
        assert service.catalogue.add(method("second"), by=ALICE).version == 1
        end_connections()
        assert [entry.subject_name for entry in service.auditing.entries()] == ["first", "second"]


def test_views_that_fell_behind_catch_up(service: Services) -> None:
    from domain.catalogue.training_method import TrainingMethod

    service.log.save(TrainingMethod.add(method(), by=ALICE, command_id=uuid4()))  # and then the process died
    assert [found.spec.internal_name for found in service.catalogue.selectable()] == ["sft-support"]
    assert len(service.auditing.entries()) == 1
