"""An event log that is compared with what was signed of it and with its views: nothing in it may have been changed."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

from domain.audit.audit_index import Indexed, Place, first_difference, from_bytes
from domain.audit.event_log import READ_AT_ONCE, EventLog
from domain.audit.projections import audit_log, methods_and_runs
from domain.audit.proving.proof import Checkpoint
from domain.audit.proving.verification import (
    Compared,
    ExpectedRows,
    Finding,
    Followed,
    LinkChecker,
    Numbered,
    Numbering,
    OrderWatcher,
    bounded,
    first_bad_checkpoint,
)
from domain.audit.read_models import COUNTED, LOG_BEGINS, Head
from domain.values import Value

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

    def select_parts(self, after: int, until: int, limit: int) -> Sequence[Numbered]:
        """In the log's order, each with its number there."""
        ...

    def numbering(self) -> Numbering:
        """How the log is numbered."""
        ...


class Verification(Value):
    """What came of reading the whole log: how much there is, its last hash, and what is not what it was.

    `notes` say what is as it should be, and worth knowing: where time counts anew.
    """

    entries: int
    hash: str
    checkpoints: int
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...] = ()


class VerifiedLog:
    """An event log as it is compared with what was signed of it, and with its views."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

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
            end = self._log.views.head()
            verification = self._verified(end, checkpoints, is_signed, views_too, beside)
            # What was appended meanwhile is in the views, and not in the log as it was read: then it is read again.
            if not verification.findings or self._log.views.head() == end:
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
        findings = [*bounded(chain.disorder)]
        if chain.finding is not None:
            findings.append(chain.finding)
        else:
            findings += self._reader.numbering().findings(chain.position)
            bad = first_bad_checkpoint(checkpoints, is_signed=is_signed, hashes=chain.hashes, end=chain.position)
            if bad is not None:
                findings.append(bad)
            elif views_too:
                findings += self._disagreeing_views(end, beside)
        return Verification(
            entries=chain.position,
            hash=chain.hash,
            checkpoints=len(checkpoints),
            findings=tuple(findings),
            notes=bounded(chain.notes),
        )

    @property
    def _reader(self) -> PartsReader:
        return cast(PartsReader, self._log.recorder)

    def _chain(self, end: Head, wanted: Sequence[int], beside: Beside | None) -> Followed:
        # Not by its position: that entry may be gone.
        halfway = self._log.views.hashes(since=end.position // 2, limit=1)
        if beside is not None and end.position >= WORTH_A_PROCESS and halfway:
            middle = self._log.views.head_at(halfway[0][0])
            rest = beside.follow(middle, end, wanted)
            whole = self.follow(LOG_BEGINS, middle, wanted).and_then(rest())
            if whole.finding is None:
                return whole
        # In one go: what is said of a difference depends on what stands before and behind it.
        return self.follow(LOG_BEGINS, end, wanted)

    def follow(self, since: Head, until: Head, wanted: Sequence[int] = ()) -> Followed:
        """Follow the chain through a part of the log, up to the first place where the view knows another."""
        before = self._reader.select_parts(since.notification_id - 1, since.notification_id, 1)
        order = OrderWatcher(
            ordered_since=self._reader.numbering().ordered_since,
            position=since.position,
            before=before[0] if before else None,
        )
        events, known = order.watched(self._stored_parts(since, until)), self._known_hashes(since, until)
        checker = LinkChecker(events, known, wanted=wanted, position=since.position, hash=since.hash)
        return order.seen_by(checker.followed())

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
        counts = {
            tuple(row[column] for column in COUNTED): row["entries"] for row in self._log.views.rows("audit_counts")
        }
        if counts != compared.counts:
            yield Finding(position=0, words="the view audit_counts disagrees with the log")
        kept, miscounted = dict[Place, int](), dict[Place, int]()
        for row in self._log.views.rows("audit_index"):
            place, bits = (row["fact"], row["value"], row["block"]), from_bytes(row["bits"])
            kept[place] = bits
            if bits.bit_count() != row["entries"]:
                miscounted[place] = bits
        # A number of entries that is not that of its bits is wrong from the first of them on.
        if differing := first_difference(kept, compared.bits) or first_difference(miscounted, {}):
            yield Finding(position=differing, words="the view audit_index disagrees with the log")

    def compare_entries(self, first: int, last: int) -> Compared:
        """Compare the view of these entries with the log, up to the first that differs."""
        counts, index = Counter[tuple[str, ...]](), Indexed()
        stored, found = self._stored_entries(since=first - 1), None
        for event, recorded, head in self._log.decoded(self._log.views.head_at(first - 1)):
            if head.position > last:
                break
            row = audit_log(event, recorded, head).row
            kept, wanted = next(stored), self._log.views.as_stored(row)
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
        expected = ExpectedRows(self._log.views.as_stored)
        events = self._log.recorded(LOG_BEGINS.notification_id, until=end.notification_id)
        for position, recorded in enumerate(events, start=1):
            for change in methods_and_runs(self._log.read(recorded), position):
                expected.apply(change, position)
        yield from expected.differences(self._log.views.rows)

    def _stored_parts(self, since: Head, until: Head) -> Iterator[Numbered]:
        number = since.notification_id
        while batch := self._reader.select_parts(number, until.notification_id, READ_AT_ONCE):
            yield from batch
            number = batch[-1][0]

    def _known_hashes(self, since: Head, until: Head) -> Iterator[tuple[int, str]]:
        position = since.position
        while known := self._log.views.hashes(since=position, limit=READ_AT_ONCE):
            yield from (each for each in known if each[0] <= until.position)  # what is appended meanwhile is not asked
            position = known[-1][0]

    def _stored_entries(self, *, since: int) -> Iterator[Mapping[str, Any]]:
        position = since
        while rows := list(self._log.views.rows("audit_log", since=position, limit=READ_AT_ONCE)):
            yield from rows
            position = rows[-1]["position"]
