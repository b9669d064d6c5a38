"""What an add costs beside a bare INSERT and COMMIT of the same bytes, on both databases. Aim: 1.25 times."""

import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg

from domain.catalogue.training_method import TrainingMethod
from infra.settings import Settings
from tests.support.people import ALICE, method
from tests.support.services import Services

ADDS = 60


@contextmanager
def bare(settings: Settings) -> Iterator[Callable[[bytes], Any]]:
    """Writes these bytes as a row of the event log's own form, durably, with nothing around it."""
    columns = "(originator_id, originator_version, topic, state"
    if settings.database_url:
        with psycopg.connect(settings.database_url, autocommit=True) as connection:
            connection.execute("CREATE TABLE bare (LIKE tmm.stored_events INCLUDING ALL)")
            connection.execute(
                "ALTER TABLE bare ALTER notification_id ADD GENERATED ALWAYS AS IDENTITY, "
                "ALTER recorded_at SET DEFAULT clock_timestamp()"
            )
            insert = f"INSERT INTO bare {columns}) VALUES (%s, 1, 'topic', %s)"
            yield lambda state: connection.execute(insert, (uuid4(), state))
        return
    connection = sqlite3.connect(settings.sqlite_file, isolation_level=None)
    connection.execute("CREATE TABLE bare AS SELECT * FROM stored_events WHERE 0")
    connection.execute("CREATE UNIQUE INDEX bare_key ON bare (originator_id, originator_version)")
    when = datetime.now(UTC).isoformat()
    insert = f"INSERT INTO bare {columns}, recorded_at) VALUES (?, 1, 'topic', ?, ?)"
    yield lambda state: connection.execute(insert, (uuid4().hex, state, when))
    connection.close()


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def test_an_add_costs_little_more_than_writing_its_bytes(service: Services, migrated: Settings) -> None:
    """The event alone (rules, bytes, append), and the whole command with its history, views, audit log and chain.

    All take turns, so that the machine's moods fall on all of them alike.
    """
    service.catalogue.add(method("warm-up"), by=ALICE)
    (stored,) = service.log.recorder.select_notifications(start=None, limit=1)

    def append(number: int) -> None:
        service.log.save(TrainingMethod.add(method(f"sft-a{number}"), by=ALICE, command_id=uuid4()))

    with bare(migrated) as write:
        write(stored.state)
        turns = [
            (
                timed(lambda: write(stored.state)),
                timed(lambda number=number: append(number)),
                timed(lambda number=number: service.catalogue.add(method(f"sft-c{number}"), by=ALICE)),
            )
            for number in range(ADDS)
        ]
    kind = "PostgreSQL" if migrated.database_url else "SQLite"
    alone = statistics.median(turn[0] for turn in turns)
    for name, which in (("the event", 1), ("the whole command", 2)):
        low, middle, high = statistics.quantiles([turn[which] / turn[0] for turn in turns], n=4)
        took = statistics.median(turn[which] for turn in turns)
        print(
            f"{kind}: bare {alone * 1000:.2f} ms, {name} {took * 1000:.2f} ms, "
            f"ratio {took / alone:.2f} (of pairs: quartiles {low:.2f}, {middle:.2f}, {high:.2f})"
        )
        assert took - alone < 0.05, name  # what is ours, whatever the disk takes
