"""The event log and what is kept of it: its views, the audit log among them, and what proves its truth."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import (
    InfrastructureFactory,
    Mapper,
    MapperDeserialisationError,
    PersistenceError,
    StoredEvent,
)
from eventsourcing.utils import Environment

from domain.audit.projections import changes_of, head_after
from domain.audit.read_models import (
    AuditEntry,
    Head,
    Insert,
    RowChange,
    Views,
    ViewsMoved,
)
from domain.clock import Clock, Time
from domain.errors import EventUnreadable
from domain.events import Aggregate, DomainEvent, RecordedEvent

_BATCH = 2000
READ_AT_ONCE = 2000


class EventLog(Application[UUID]):
    """The log of all events, and the views that are projected from it."""

    def __init__(self, store: InfrastructureFactory[Any], *, views: Views) -> None:
        self._store = store
        super().__init__()
        self.views = views

    def close(self) -> None:
        """Let go of every connection."""
        self.views.close()
        super().close()

    def construct_env(self, name: str, env: Mapping[str, str] | None = None) -> Environment:
        # The library would add the process's environment, where a stray variable could move the store.
        return self._store.env

    def construct_factory(self, env: Environment) -> InfrastructureFactory[Any]:
        return self._store

    def construct_mapper(self) -> Mapper[UUID]:
        return self._store.mapper()

    # Streams.

    def history(self, aggregate_id: UUID) -> list[DomainEvent]:
        """A stream's events, the oldest first. Raises `EventUnreadable`."""
        try:
            return [cast(DomainEvent, event) for event in self.events.get(aggregate_id)]
        except MapperDeserialisationError as error:
            raise EventUnreadable(aggregate_id) from error

    def is_there(self, aggregate_id: UUID) -> bool:
        """Whether anything ever happened in a stream, also what cannot be read."""
        try:
            return bool(self.history(aggregate_id))
        except EventUnreadable:
            return True

    def aggregate(self, aggregate_id: UUID) -> Aggregate | None:
        """What a stream's events make of its aggregate; None where there are none."""
        return folded(self.history(aggregate_id))

    def append(self, event: DomainEvent) -> None:
        """Append an event that belongs to no aggregate, and project it."""
        self.save(event)
        self.catch_up_after_append()

    def time(self) -> Time:
        """What time it is, by the clock that entries are recorded by and by the newest of them."""
        return cast(Clock, self.recorder).time()

    # The views.

    def catch_up(self) -> Head:
        """Project what the views have not seen, in batches, each exactly once, whoever else does the same."""
        while True:
            since = head = self.views.head()
            if not self.views.writable:
                return head
            notifications = self.recorder.select_notifications(
                start=head.notification_id, limit=_BATCH, inclusive_of_start=False
            )
            if not notifications:
                return head
            changes: list[RowChange] = []
            for recorded in cast(Sequence[RecordedEvent], notifications):
                head = head_after(recorded, since=head)
                changes += changes_of(self.read(recorded), recorded, head)
            try:
                self.views.project(changes, since=since, until=head)
            except ViewsMoved:
                continue
            if len(notifications) < _BATCH:
                return head

    def views_behind(self) -> int:
        """How many numbers of the event log the views have not seen yet."""
        newest = self.recorder.max_notification_id() or 0
        return max(newest - self.views.head().notification_id, 0)

    def catch_up_after_append(self) -> None:
        """Project what was appended, if it can be done now."""
        # The event is stored, and that is what counts: if this fails, the next reader catches the views up.
        with suppress(PersistenceError):
            self.catch_up()

    def replay(self, since: Head) -> Iterator[tuple[RecordedEvent, Head, list[RowChange]]]:
        """Every event after this place in the log, where the log stands with it, and what the views make of it."""
        for event, recorded, head in self.decoded(since):
            yield recorded, head, changes_of(event, recorded, head)

    def read(self, stored: StoredEvent) -> DomainEvent | None:
        """The event as it was, or None where what is stored cannot be read: everything else works around it."""
        try:
            return cast(DomainEvent, self.mapper.to_domain_event(stored))
        except MapperDeserialisationError:
            return None

    def decoded(self, since: Head) -> Iterator[tuple[DomainEvent | None, RecordedEvent, Head]]:
        """Every event after this place in the log, as far as it can be read, and where the log stands with it."""
        head = since
        for recorded in self.recorded(since.notification_id):
            head = head_after(recorded, since=head)
            yield self.read(recorded), recorded, head

    def recorded(self, number: int, *, until: int | None = None) -> Iterator[RecordedEvent]:
        """What is stored after a number of the event log."""
        while events := self.recorder.select_notifications(
            start=number, limit=_BATCH, stop=until, inclusive_of_start=False
        ):
            yield from cast(Sequence[RecordedEvent], events)
            number = events[-1].id

    def entries(self, first: int, last: int) -> Iterator[tuple[AuditEntry, RecordedEvent]]:
        """The entries of a range, each with what is stored of its event, straight from the log."""
        for recorded, head, changes in self.replay(self.views.head_at(first - 1)):
            if head.position > last:
                return
            (row,) = (change.row for change in changes if isinstance(change, Insert) and change.table == "audit_log")
            yield AuditEntry.model_construct(**{name: row[name] for name in AuditEntry.model_fields}), recorded


def folded(history: Sequence[DomainEvent]) -> Aggregate | None:
    """What a stream of events makes of its aggregate; None of no events."""
    aggregate: Aggregate | None = None
    for event in history:
        aggregate = cast(Aggregate.Event, event).mutate(aggregate)
    return aggregate
