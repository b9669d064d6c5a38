"""Appending to the event log, on both databases: who comes first wins, and nothing is lost or doubled."""

import multiprocessing
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.persistence import IntegrityError

from domain.audit.read_models import AuditQuery
from domain.catalogue.training_method import TrainingMethod
from domain.errors import MethodAlreadyExists, MethodNotSelectable
from domain.runs.training_run import RunStatus, TrainingRun
from infra.settings import Settings
from infra.wiring import Installation
from tests.support.people import ALICE, PROVENANCE, TRAINERS, method, request
from tests.support.services import Services

SPAWN = multiprocessing.get_context("spawn")


def add(service: Services, barrier: Any) -> str:
    barrier.wait(60)
    try:
        service.catalogue.add(method(), by=ALICE)
    except MethodAlreadyExists:
        return "exists"
    return "added"


def add_in_a_process(settings: Settings, barrier: Any, outcomes: Any) -> None:
    with Services(settings, TRAINERS) as service:
        outcomes.put(add(service, barrier))


def migrate_in_a_process(settings: Settings, barrier: Any, outcomes: Any) -> None:
    barrier.wait(60)
    with Installation(settings) as installation:
        outcomes.put(len(installation.migrate()))


def in_processes(number: int, work: Callable[..., None], settings: Settings) -> list[Any]:
    """What each of these processes said, having begun at the same moment."""
    barrier, outcomes = SPAWN.Barrier(number), SPAWN.Queue()
    processes = [SPAWN.Process(target=work, args=(settings, barrier, outcomes)) for _ in range(number)]
    for process in processes:
        process.start()
    said = [outcomes.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    return said


def test_of_concurrent_adds_from_threads_exactly_one_wins(service: Services) -> None:
    barrier = threading.Barrier(8)
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda _: add(service, barrier), range(8)))
    assert Counter(outcomes) == {"added": 1, "exists": 7}
    assert [entry.action for entry in service.auditing.entries()] == ["add"]


@pytest.mark.processes
def test_of_concurrent_adds_from_processes_exactly_one_wins(migrated: Settings) -> None:
    assert Counter(in_processes(3, add_in_a_process, migrated)) == {"added": 1, "exists": 2}


@pytest.mark.processes
def test_several_processes_may_migrate_at_the_same_moment(settings: Settings) -> None:
    assert sum(in_processes(3, migrate_in_a_process, settings)) == 5
    with Installation(settings) as installation:
        assert [entry.action for entry in installation.auditing.entries()] == ["preinstall"] * 5


def test_an_append_succeeds_only_while_another_stream_has_not_moved(service: Services) -> None:
    service.catalogue.add(method(), by=ALICE)
    method_id = TrainingMethod.create_id("sft-support")
    run = TrainingRun.ask_for(uuid4(), request(), by=ALICE, command_id=uuid4())
    other = TrainingRun.ask_for(uuid4(), request(), by=ALICE, command_id=uuid4())
    service.log.save(run, unchanged={method_id: 1})
    service.catalogue.modify("sft-support", {"description": "moved"}, by=ALICE)
    with pytest.raises(IntegrityError):
        service.log.save(other, unchanged={method_id: 1})
    assert len(service.trainings.all()) == 1


def test_a_stream_that_does_not_exist_is_not_unchanged(service: Services) -> None:
    run = TrainingRun.ask_for(uuid4(), request(), by=ALICE, command_id=uuid4())
    with pytest.raises(IntegrityError):
        service.log.save(run, unchanged={uuid4(): 1})
    assert service.auditing.entries() == []


def test_a_deletion_and_a_start_fall_into_one_of_two_truthful_orders(service: Services) -> None:
    seen = set()
    for round_ in range(12):
        name = f"sft-{round_}"
        service.catalogue.add(method(name), by=ALICE)
        run_id, barrier = uuid4(), threading.Barrier(2)
        service.trainings.request(run_id, request(name), by=ALICE)

        def start(run_id=run_id, barrier=barrier) -> bool:
            barrier.wait(60)
            try:
                service.trainings.start(run_id, PROVENANCE)
            except MethodNotSelectable:
                return False
            return True

        def delete(name=name, barrier=barrier) -> None:
            barrier.wait(60)
            service.catalogue.delete(name, by=ALICE)

        with ThreadPoolExecutor(2) as threads:
            starting, deleting = threads.submit(start), threads.submit(delete)
            deleting.result(60)
            started = starting.result(60)
        actions = [entry.action for entry in service.auditing.entries(AuditQuery(method=name))]
        if started:
            assert actions == ["add", "request", "start", "delete"]
            assert service.trainings.one(run_id).status is RunStatus.RUNNING
        else:
            assert actions == ["add", "request", "delete", "cancel"]
            assert service.trainings.one(run_id).status is RunStatus.CANCELLED
        seen.add(started)
    assert seen


def test_many_writers_lose_nothing_and_the_log_has_no_gap(migrated: Settings) -> None:
    def write(worker: int) -> None:
        with Services(migrated, TRAINERS) as service:
            for number in range(5):
                service.catalogue.add(method(f"sft-{worker}-{number}"), by=ALICE)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    with Services(migrated, TRAINERS) as service:
        assert len(service.catalogue.selectable()) == 20
        entries = service.auditing.entries()
        assert [entry.position for entry in entries] == list(range(1, 21))
        assert [entry.recorded_at for entry in entries] == sorted(entry.recorded_at for entry in entries)


def test_a_stray_variable_of_the_environment_moves_nothing(
    migrated: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    strays = {
        "SQLITE_DBNAME": str(tmp_path / "elsewhere"),
        "POSTGRES_DBNAME": "elsewhere",
        "POSTGRES_HOST": "nowhere.invalid",
        "POSTGRES_SCHEMA": "elsewhere",
        "TRAININGMETHODS_SQLITE_DBNAME": str(tmp_path / "elsewhere"),
        "TRAININGMETHODS_POSTGRES_SCHEMA": "elsewhere",
        "PERSISTENCE_MODULE": "eventsourcing.popo",
        "COMPRESSOR_TOPIC": "zlib",
        "CIPHER_TOPIC": "nothing:Nothing",
        "IS_SNAPSHOTTING_ENABLED": "y",
        "CREATE_TABLE": "y",
    }
    for name, value in strays.items():
        monkeypatch.setenv(name, value)
    with Services(migrated, TRAINERS) as service:
        service.catalogue.add(method(), by=ALICE)
    for name in strays:
        monkeypatch.delenv(name)
    with Services(migrated, TRAINERS) as service:
        assert [found.spec.internal_name for found in service.catalogue.selectable()] == ["sft-support"]
    assert not (tmp_path / "elsewhere").exists()
