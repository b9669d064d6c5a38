"""The event log and what is kept of it: its views, the audit log among them, and what proves its truth."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol, cast
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.persistence import InfrastructureFactory, Mapper, PersistenceError
from eventsourcing.utils import Environment

from domain.audit_index import Indexed, first_difference, from_bytes
from domain.events import DomainEvent, RecordedEvent
from domain.operations import CheckpointMade, LicenceInstalled, LicenceRemoved, LogExported, ViewsRebuilt
from domain.projections import Parts, audit_log, changes_of, head_after, methods_and_runs
from domain.proof import Checkpoint, Checkpoints, Signer
from domain.read_models import (
    COUNTED,
    LOG_BEGINS,
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
from domain.users import Edition, User
from domain.values import Value
from domain.verification import Compared, ExpectedRows, Finding, Followed, LinkChecker, first_bad_checkpoint

_BATCH = 2000
_READ_AT_ONCE = 2000
_TRIES = 5

WORTH_A_PROCESS = 50_000
"""So many entries are compared by two processes sooner than by one."""


class Beside(Protocol):
    """Another process that verifies a part of a log; what its methods return waits for what came of it."""

    def follow(self, since: Head, until: Head, wanted: Sequence[int]) -> Callable[[], Followed]:
        """Start to follow the chain there."""
        ...

    def compare(self, first: int, last: int) -> Callable[[], Compared]:
        """Start to compare these entries there."""
        ...


class PartsReader(Protocol):
    """A recorder that gives what is stored of events without making events of it."""

    def select_parts(self, after: int, until: int, limit: int) -> Sequence[tuple[int, Parts]]:
        """In the log's order, each with its number there."""
        ...


class Verification(Value):
    """What came of reading the whole log: how much there is, its last hash, and what is not what it was."""

    entries: int
    hash: str
    checkpoints: int
    findings: tuple[Finding, ...]


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
                event = cast(DomainEvent, self.mapper.to_domain_event(recorded))
                head = head_after(recorded, since=head)
                changes += changes_of(event, recorded, head)
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

    def _events(self, since: Head) -> Iterator[tuple[DomainEvent, RecordedEvent, Head]]:
        head = since
        for recorded in self._recorded(since.notification_id):
            head = head_after(recorded, since=head)
            yield cast(DomainEvent, self.mapper.to_domain_event(recorded)), recorded, head

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

    def verify(
        self,
        checkpoints: Sequence[Checkpoint] = (),
        *,
        is_signed: Callable[[Checkpoint], bool] = lambda _: True,
        views_too: bool = True,
        beside: Beside | None = None,
    ) -> Verification:
        """Read the whole log and compare it with what was signed of it, and with its views. Nothing is written.

        The views' hashes are always compared; every other column of every view only with `views_too`, which projects
        the log once more and takes several times as long. `beside` does a part of that meanwhile, if the log is long.
        """
        for _ in range(_TRIES):
            end = self._views.head()
            verification = self._verified(end, checkpoints, is_signed, views_too, beside)
            # What was appended meanwhile is in the views, and not in the log as it was read: then it is read again.
            if not verification.findings or self._views.head() == end:
                break
        return verification

    def _verified(
        self,
        end: Head,
        checkpoints: Sequence[Checkpoint],
        is_signed: Callable[[Checkpoint], bool],
        views_too: bool,
        beside: Beside | None,
    ) -> Verification:
        chain = self._chain(end, [checkpoint.position for checkpoint in checkpoints], beside)
        findings = [chain.finding]
        findings.append(
            first_bad_checkpoint(checkpoints, is_signed=is_signed, hashes=chain.hashes, end=chain.position)
            if chain.finding is None
            else None
        )
        if views_too and findings == [None, None]:
            findings += self._disagreeing_views(end, beside)
        return Verification(
            entries=chain.position,
            hash=chain.hash,
            checkpoints=len(checkpoints),
            findings=tuple(finding for finding in findings if finding is not None),
        )

    def _chain(self, end: Head, wanted: Sequence[int], beside: Beside | None) -> Followed:
        halfway = self._views.hashes(since=end.position // 2, limit=1)  # not by its position: that entry may be gone
        if beside is not None and end.position >= WORTH_A_PROCESS and halfway:
            middle = self._views.head_at(halfway[0][0])
            rest = beside.follow(middle, end, wanted)
            whole = self.follow(LOG_BEGINS, middle, wanted).and_then(rest())
            if whole.finding is None:
                return whole
        # In one go: what is said of a difference depends on what stands before and behind it.
        return self.follow(LOG_BEGINS, end, wanted)

    def follow(self, since: Head, until: Head, wanted: Sequence[int] = ()) -> Followed:
        """Follow the chain through a part of the log, up to the first place where the view knows another."""
        events, known = self._stored_parts(since, until), self._known_hashes(since, until)
        return LinkChecker(events, known, wanted=wanted, position=since.position, hash=since.hash).followed()

    def _disagreeing_views(self, end: Head, beside: Beside | None) -> Iterator[Finding]:
        if beside is None or end.position < WORTH_A_PROCESS:
            compared = self.compare_entries(1, end.position)
            others = [*self._disagreeing_others(end)]
        else:
            # The other process has the most of the entries; this one has the rest, and all that is not of the entries.
            here = end.position // 4
            there = beside.compare(here + 1, end.position)
            compared = self.compare_entries(1, here)
            others = [*self._disagreeing_others(end)]
            compared = compared.and_then(there())
        if compared.finding is not None:
            yield compared.finding
            return
        yield from others
        counts = {tuple(row[column] for column in COUNTED): row["entries"] for row in self._views.rows("audit_counts")}
        if counts != compared.counts:
            yield Finding(position=0, words="the view audit_counts disagrees with the log")
        rows = self._views.rows("audit_index")
        kept = {(row["fact"], row["value"], row["block"]): from_bytes(row["bits"]) for row in rows}
        if differing := first_difference(kept, compared.bits):
            yield Finding(position=differing, words="the view audit_index disagrees with the log")

    def compare_entries(self, first: int, last: int) -> Compared:
        """Compare the view of these entries with the log, up to the first that differs."""
        counts, index = Counter[tuple[str, ...]](), Indexed()
        stored, found = self._stored_entries(since=first - 1), None
        for event, recorded, head in self._events(self._views.head_at(first - 1)):
            if head.position > last:
                break
            row = audit_log(event, recorded, head).row
            kept, wanted = next(stored), self._views.as_stored(row)
            if kept != wanted:
                wrong = ", ".join(name for name in wanted if kept[name] != wanted[name])
                found = Finding(
                    position=head.position, words=f"the view of the audit log disagrees with the log about {wrong}"
                )
                break
            counts[tuple(str(row[column] or "") for column in COUNTED)] += 1
            index.add(row)
        return Compared(found, counts, index.rows())

    def _disagreeing_others(self, end: Head) -> Iterator[Finding]:
        """What the views of methods and runs hold that the log does not say."""
        expected = ExpectedRows(self._views.as_stored)
        events = self._recorded(LOG_BEGINS.notification_id, until=end.notification_id)
        for position, recorded in enumerate(events, start=1):
            event = cast(DomainEvent, self.mapper.to_domain_event(recorded))
            for change in methods_and_runs(event, position):
                expected.apply(change, position)
        yield from expected.differences(self._views.rows)

    def _stored_parts(self, since: Head, until: Head) -> Iterator[Parts]:
        number = since.notification_id
        while batch := cast(PartsReader, self.recorder).select_parts(number, until.notification_id, _READ_AT_ONCE):
            yield from (parts for _, parts in batch)
            number = batch[-1][0]

    def _known_hashes(self, since: Head, until: Head) -> Iterator[tuple[int, str]]:
        position = since.position
        while known := self._views.hashes(since=position, limit=_READ_AT_ONCE):
            yield from (each for each in known if each[0] <= until.position)  # what is appended meanwhile is not asked
            position = known[-1][0]

    def _stored_entries(self, *, since: int) -> Iterator[Mapping[str, Any]]:
        position = since
        while rows := list(self._views.rows("audit_log", since=position, limit=_READ_AT_ONCE)):
            yield from rows
            position = rows[-1]["position"]

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
