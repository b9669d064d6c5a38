"""The event log and what is kept of it: its views, the audit log among them, and what proves its truth."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.persistence import (
    InfrastructureFactory,
    Mapper,
    MapperDeserialisationError,
    PersistenceError,
    StoredEvent,
)
from eventsourcing.utils import Environment

from domain.audit.operations import (
    CheckpointMade,
    ClockAccepted,
    KeyPurpose,
    KeyTrusted,
    LicenceInstalled,
    LicenceRemoved,
    LogExported,
    ViewsRebuilt,
)
from domain.audit.projections import changes_of, head_after
from domain.audit.proof import Checkpoint, Checkpoints, Signer
from domain.audit.read_models import (
    AuditCount,
    AuditEntry,
    AuditPage,
    AuditQuery,
    CountBy,
    Head,
    Insert,
    RowChange,
    Views,
    ViewsMoved,
)
from domain.audit.unreadable import UNREADABLE
from domain.clock import Clock, Time
from domain.events import DomainEvent, RecordedEvent
from domain.people.users import Edition, User

_BATCH = 2000
READ_AT_ONCE = 2000


class EventLog(Application[UUID]):
    """The log of all events, and the views that are projected from it."""

    def __init__(self, store: InfrastructureFactory[Any], *, views: Views) -> None:
        self._store = store
        super().__init__()
        self._views = views

    def close(self) -> None:
        """Let go of every connection."""
        self._views.close()
        super().close()

    def construct_env(self, name: str, env: Mapping[str, str] | None = None) -> Environment:
        # The library would add the process's environment, where a stray variable could move the store.
        return self._store.env

    def construct_factory(self, env: Environment) -> InfrastructureFactory[Any]:
        return self._store

    def construct_mapper(self) -> Mapper[UUID]:
        return self._store.mapper()

    # What happens to the installation.

    def record_licence_installed(
        self,
        licence_id: str,
        *,
        key_id: str,
        customer: str,
        users: Sequence[str],
        edition: Edition,
        not_before: datetime,
        expires: datetime,
        replaces: str | None = None,
        by: User,
        command_id: UUID | None = None,
    ) -> None:
        """Record that a licence, already verified, was put in place, possibly of another."""
        self._record_event(
            LicenceInstalled.happened(
                licence_id=licence_id,
                key_id=key_id,
                customer=customer,
                users=tuple(users),
                edition=edition,
                not_before=not_before,
                expires=expires,
                replaces=replaces,
                by=by,
                command_id=command_id or uuid4(),
            )
        )

    def record_licence_removed(self, licence_id: str, *, reason: str, by: User, command_id: UUID | None = None) -> None:
        """Record that a licence was taken away, and why."""
        self._record_event(
            LicenceRemoved.happened(licence_id=licence_id, reason=reason, by=by, command_id=command_id or uuid4())
        )

    def time(self) -> Time:
        """What time it is, by the clock that entries are recorded by and by the newest of them."""
        return cast(Clock, self.recorder).time()

    def accept_clock(self, *, by: User, command_id: UUID | None = None) -> ClockAccepted:
        """Let time count from the clock anew, after it had jumped ahead. Raises `ClockNotBehind`."""
        newest, accepted = self.time().accepted_clock()
        event = ClockAccepted.happened(newest=newest, accepted=accepted, by=by, command_id=command_id or uuid4())
        self._record_event(event)
        return event

    def record_key_trusted(self, key_id: str, *, purpose: KeyPurpose, by: User, command_id: UUID | None = None) -> None:
        """Record that a public key was put into one of the folders of trusted keys."""
        self._record_event(KeyTrusted.happened(key_id=key_id, purpose=purpose, by=by, command_id=command_id or uuid4()))

    def keys_trusted(self) -> dict[tuple[KeyPurpose, str], AuditEntry]:
        """The newest entry for every key that was ever trusted by command, by its purpose and id."""
        found: dict[tuple[KeyPurpose, str], AuditEntry] = {}
        query: AuditQuery | None = AuditQuery(action="trust-key", outcome="done", limit=1000)
        while query is not None:
            page = self.audit_page(query)
            for entry in page.entries:
                facts = {change.field: change.after for change in entry.changes}
                found[KeyPurpose(facts["purpose"]), facts["key_id"]] = entry
            query = query.model_copy(update={"after": page.next_after}) if page.next_after is not None else None
        return found

    # The audit log.

    def audit(self, query: AuditQuery | None = None) -> list[AuditEntry]:
        """Entries of the audit log, the oldest first unless the query says otherwise."""
        return list(self.audit_page(query or AuditQuery()).entries)

    def audit_page(self, query: AuditQuery) -> AuditPage:
        """As many entries as were asked for, if there are so many, and the position after which to go on."""
        self.catch_up()
        return self._views.audit_page(query)

    def audit_counts(self, by: CountBy, query: AuditQuery | None = None) -> list[AuditCount]:
        """How many entries the query fits, by actor, action, method and so on, the most first."""
        self.catch_up()
        return self._views.audit_counts(by, query or AuditQuery())

    @property
    def views_writable(self) -> bool:
        """Whether this user may bring the views up to date; else they are read as they stand."""
        return self._views.writable

    def audit_up_to(self) -> tuple[int, datetime | None]:
        """The last entry that queries see, and when it was recorded. Whoever may write sees all there is."""
        head = self.catch_up()
        newest = self._views.audit_page(AuditQuery(newest_first=True, limit=1)).entries
        return head.position, newest[0].recorded_at if newest else None

    # The views.

    def catch_up(self) -> Head:
        """Project what the views have not seen, in batches, each exactly once, whoever else does the same."""
        while True:
            since = head = self._views.head()
            if not self._views.writable:
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
                self._views.project(changes, since=since, until=head)
            except ViewsMoved:
                continue
            if len(notifications) < _BATCH:
                return head

    def views_behind(self) -> int:
        """How many numbers of the event log the views have not seen yet."""
        newest = self.recorder.max_notification_id() or 0
        return max(newest - self._views.head().notification_id, 0)

    def rebuild_views(self, *, by: User, command_id: UUID | None = None) -> ViewsRebuilt:
        """Drop the views and replay the log; what is recorded of it, with whether the outcome is what was there."""
        before = self._views.head()
        self._views.clear()
        head = self.catch_up()
        agreed = before.position <= head.position and self._views.head_at(before.position).hash == before.hash
        rebuilt = ViewsRebuilt.happened(
            position=head.position, hash=head.hash, agreed=agreed, by=by, command_id=command_id or uuid4()
        )
        self._record_event(rebuilt)
        return rebuilt

    def _catch_up_after_append(self) -> None:
        # The event is stored, and that is what counts: if this fails, the next reader catches the views up.
        with suppress(PersistenceError):
            self.catch_up()

    def replay(self, since: Head) -> Iterator[tuple[RecordedEvent, Head, list[RowChange]]]:
        """Every event after this place in the log, where the log stands with it, and what the views make of it."""
        for event, recorded, head in self._events(since):
            yield recorded, head, changes_of(event, recorded, head)

    def read(self, stored: StoredEvent) -> DomainEvent | None:
        """The event as it was, or None where what is stored cannot be read: everything else works around it."""
        try:
            return cast(DomainEvent, self.mapper.to_domain_event(stored))
        except MapperDeserialisationError:
            return None

    def unreadable(self, *, limit: int) -> list[AuditEntry]:
        """The first entries whose events could not be read when they came into the views."""
        return self.audit(AuditQuery(action=UNREADABLE, limit=limit))

    def _events(self, since: Head) -> Iterator[tuple[DomainEvent | None, RecordedEvent, Head]]:
        head = since
        for recorded in self._recorded(since.notification_id):
            head = head_after(recorded, since=head)
            yield self.read(recorded), recorded, head

    def _recorded(self, number: int, *, until: int | None = None) -> Iterator[RecordedEvent]:
        """What is stored after a number of the event log."""
        while events := self.recorder.select_notifications(
            start=number, limit=_BATCH, stop=until, inclusive_of_start=False
        ):
            yield from cast(Sequence[RecordedEvent], events)
            number = events[-1].id

    # What proves that the log was not changed.

    def make_checkpoint(self, signer: Signer, checkpoints: Checkpoints, *, by: User) -> Checkpoint:
        """Sign where the log stands and keep that outside the database; the newest one if nothing happened since."""
        while True:
            head, previous = self.catch_up(), checkpoints.newest()
            if previous is not None and not self._happened_since(previous, head):
                return previous
            checkpoint = Checkpoint.signed_by(signer, head=head, previous=previous)
            if checkpoints.keep(checkpoint):
                break  # else somebody else made one at the same moment
        self._record_event(
            CheckpointMade.happened(
                position=head.position, hash=head.hash, key_id=signer.key_id, by=by, command_id=uuid4()
            )
        )
        return checkpoint

    def _happened_since(self, checkpoint: Checkpoint, head: Head) -> bool:
        if head.position != checkpoint.position + 1:
            return head.position > checkpoint.position
        (newest,) = self._views.audit_page(AuditQuery(newest_first=True, limit=1)).entries
        return newest.action != "checkpoint"  # its own entry is not news

    def entries(self, first: int, last: int) -> Iterator[tuple[AuditEntry, RecordedEvent]]:
        """The entries of a range, each with what is stored of its event, straight from the log."""
        for recorded, head, changes in self.replay(self._views.head_at(first - 1)):
            if head.position > last:
                return
            (row,) = (change.row for change in changes if isinstance(change, Insert) and change.table == "audit_log")
            yield AuditEntry.model_construct(**{name: row[name] for name in AuditEntry.model_fields}), recorded

    def hash_at(self, position: int) -> str:
        """The hash of the chain at a position."""
        return self._views.head_at(position).hash

    def record_export(self, form: str, *, first: int, last: int, count: int, hash: str, by: User) -> None:
        """Record that a range of the audit log was written to a file."""
        self._record_event(
            LogExported.happened(format=form, first=first, last=last, count=count, hash=hash, by=by, command_id=uuid4())
        )

    def _record_event(self, event: DomainEvent) -> None:
        self.save(event)
        self._catch_up_after_append()
