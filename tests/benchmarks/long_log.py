"""A log as long as is wanted, of all kinds of entries, written straight into the event table."""

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import psycopg

from adapters.store.mapper import PydanticMapper
from domain.audit.refusals import ActionRefused
from domain.catalogue.method_spec import Change
from domain.catalogue.training_method import TrainingMethod
from domain.people.users import Edition, Entitlement, Origin, User
from domain.runs.training_run import TrainingRun
from infra.settings import Settings
from tests.support.people import PROVENANCE, method, request

SPACE = UUID(int=7)
BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
ACTORS = [f"user{number}" for number in range(60)]
METHODS = [f"sft-{number}" for number in range(120)]

Stored = tuple[UUID, int, str, bytes, datetime]


def _user(name: str, number: int) -> User:
    if number % 4 == 0:
        return User(name=name, entitlement=Entitlement.noncommercial("no licence"), origin=Origin.COMMAND_LINE)
    entitlement = Entitlement(edition=Edition.COMMERCIAL, licence_id=f"L-{number % 9}", key_id="K", because="it holds")
    return User(
        name=name, entitlement=entitlement, origin=[Origin.COMMAND_LINE, Origin.PYTHON, Origin.FLOW][number % 3]
    )


class _Writer:
    """Writes events by filling in what differs into bytes that the mapper once made."""

    def __init__(self) -> None:
        self._users = [_user(name, number).model_dump_json().encode() for number, name in enumerate(ACTORS)]
        mapper, common = (
            PydanticMapper(),
            {
                "originator_id": UUID(int=1),
                "originator_version": 1,
                "timestamp": datetime(2000, 1, 1, 1, 1, 1, 111111, tzinfo=UTC),
                "by": _user("someone", 1),
                "command_id": UUID(int=2),
            },
        )
        run = common | {"method": "the-method"}
        spec = method("the-method", display_name="the-method")
        self._states = {
            event.TOPIC: mapper.to_stored_event(event).state
            for event in (
                TrainingMethod.Added(**common, originator_topic="training-method", spec=spec),
                TrainingMethod.Modified(
                    **common, spec=spec, changes=(Change(field="description", before="one", after="another"),)
                ),
                TrainingRun.Requested(**run, originator_topic="training-run", request=request("the-method")),
                TrainingRun.Started(**run, method_version=1, options={"max_steps": 5}, provenance=PROVENANCE),
                TrainingRun.Completed(
                    **run, artifact="a", artifact_hash="e" * 64, steps=5, metrics={"loss": 1.0}, before={}, after={}
                ),
                TrainingRun.Failed(**run, reason="the loss is not finite"),
                ActionRefused(
                    **common,
                    action="delete",
                    subject_type="method",
                    subject_name="the-method",
                    reason="may not",
                    tried={},
                ),
            )
        }
        self._someone = json.dumps(json.loads(_user("someone", 1).model_dump_json()), separators=(",", ":")).encode()

    def state(self, topic: str, actor: int, name: str, when: datetime, number: int) -> bytes:
        return (
            self._states[topic]
            .replace(self._someone, self._users[actor], 1)
            .replace(b"the-method", name.encode())
            .replace(b"2000-01-01T01:01:01.111111Z", when.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode(), 1)
            .replace(b"00000000-0000-0000-0000-000000000002", str(UUID(int=number)).encode(), 1)
        )


def events(number: int, *, seed: int = 1) -> Iterator[Stored]:
    """So many events over a year and a half: methods, their changes, runs of all ends, refusals."""
    chance, writer, told = random.Random(seed), _Writer(), 0
    step = timedelta(days=540) / number
    versions = dict.fromkeys(METHODS, 0)

    def event(topic: str, stream: UUID, version: int, name: str) -> Stored:
        nonlocal told
        told += 1
        when = BEGAN + step * told
        # A few people do most of it, as people do.
        actor = min(int(chance.expovariate(0.08)), len(ACTORS) - 1)
        return stream, version, topic, writer.state(topic, actor, name, when, told), when

    for name in METHODS:
        versions[name] = 1
        yield event("training-method.added", TrainingMethod.create_id(name), 1, name)
    while told < number:
        name = METHODS[min(int(chance.expovariate(0.05)), len(METHODS) - 1)]
        what = chance.random()
        if what < 0.02:
            versions[name] += 1
            yield event("training-method.modified", TrainingMethod.create_id(name), versions[name], name)
        elif what < 0.06:
            yield event("action.refused", uuid5(SPACE, f"refused {told}"), 1, name)
        else:
            run = uuid5(SPACE, f"run {told}")
            yield event("training-run.requested", run, 1, name)
            yield event("training-run.started", run, 2, name)
            end = "completed" if chance.random() < 0.9 else "failed"
            yield event(f"training-run.{end}", run, 3, name)


def write(settings: Settings, number: int) -> None:
    """Write so many events into the migrated, empty database of these settings."""
    if settings.database_url:
        with psycopg.connect(settings.database_url) as connection, connection.cursor() as cursor:
            # As if they had been appended one by one over the years: the owner may leave the trigger out that does it.
            cursor.execute("ALTER TABLE tmm.stored_events DISABLE TRIGGER stored_events_are_numbered")
            columns = "originator_id, originator_version, topic, state, recorded_at, notification_id"
            with cursor.copy(f"COPY tmm.stored_events ({columns}) FROM STDIN") as copy:
                for told, row in enumerate(events(number), start=1):
                    copy.write_row((*row, told))
            cursor.execute("ALTER TABLE tmm.stored_events ENABLE TRIGGER stored_events_are_numbered")
            cursor.execute(
                "UPDATE tmm.log_head SET (number, recorded_at) = (SELECT notification_id, recorded_at "
                "FROM tmm.stored_events ORDER BY notification_id DESC LIMIT 1)"
            )
            cursor.execute("ANALYZE tmm.stored_events")
        return
    with closing(sqlite3.connect(settings.sqlite_file)) as connection, connection:
        connection.executemany(
            "INSERT INTO stored_events VALUES (?, ?, ?, ?, ?)",
            (
                (stream.hex, version, topic, state, when.isoformat(timespec="microseconds"))
                for stream, version, topic, state, when in events(number)
            ),
        )
