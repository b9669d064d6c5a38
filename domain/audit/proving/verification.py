"""Is the log what it was? Finds, and names the first place of, whatever was changed, in the log or in its views."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from domain.audit.audit_index import Place
from domain.audit.operations import ClockAccepted
from domain.audit.projections import Parts, link
from domain.audit.proving.proof import FIRST, Checkpoint
from domain.audit.read_models import Insert, Remove, RowChange, Table, Update
from domain.values import Value

T = TypeVar("T")

_LOOKS_AHEAD = 20

_MOST_TOLD = 20

_CLOCK_ACCEPTED = ClockAccepted.TOPIC.encode()

Numbered = tuple[int, Parts]
"""What is stored of an event, and its number in the log."""

Known = tuple[int, str]
"""An entry's position and hash, as the audit log's view knows it."""


class Finding(Value):
    """Something is not what it was; `position` is the first entry that it touches."""

    position: int
    words: str


class Numbering(NamedTuple):
    """How a log is numbered: without a gap, and in the order of time, behind the number `ordered_since`.

    `given` is the last number that was given, `last` the last event's up to there, and `beyond` is how many events
    stand behind it, which nobody appended.
    """

    ordered_since: int
    given: int
    last: int
    beyond: int

    def findings(self, entries: int) -> Iterator[Finding]:
        """What is not as it should be at the end of a log of so many entries."""
        if self.last < self.given:
            yield Finding(
                position=entries + 1,
                words=f"the log ends with the number {self.last} and had come to {self.given}: its end is gone",
            )
        if self.beyond:
            count = "an event stands" if self.beyond == 1 else f"{self.beyond} events stand"
            yield Finding(
                position=entries + 1, words=f"{count} beyond the log's end, with a number that the log did not give"
            )


class Compared(NamedTuple):
    """What came of comparing a range of entries with the log: what differs, and what the log says of those that do not.

    `counts` are by the columns that are counted, `bits` those of the index of facts.
    """

    finding: Finding | None
    counts: Counter[tuple[str, ...]]
    bits: dict[Place, int]

    def and_then(self, following: "Compared") -> "Compared":
        """This range and the one behind it."""
        together = dict(self.bits)
        for place, bits in following.bits.items():
            together[place] = together.get(place, 0) | bits
        return Compared(self.finding or following.finding, self.counts + following.counts, together)


class Followed(NamedTuple):
    """How far the chain was followed, to the first place that differs, and its hashes at the positions asked for."""

    position: int
    hash: str
    hashes: dict[int, str]
    finding: Finding | None
    disorder: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()

    def and_then(self, following: "Followed") -> "Followed":
        """This part of the chain and the one behind it."""
        if self.finding:
            return self
        return following._replace(
            hashes=self.hashes | following.hashes,
            disorder=self.disorder + following.disorder,
            notes=self.notes + following.notes,
        )


class OrderWatcher:
    """Watches the numbers and times of events go by; none of it keeps the chain from being followed further.

    `before` is the event before the first, if there is one, and `position` its entry.
    """

    def __init__(self, *, ordered_since: int, position: int = 0, before: Numbered | None = None) -> None:
        self._since = ordered_since
        self._position = position
        self._number, self._time = (before[0], before[1][4]) if before else (0, b"")
        self._disorder: list[Finding] = []
        self._notes: list[Finding] = []

    def watched(self, events: Iterable[Numbered]) -> Iterator[Parts]:
        for number, parts in events:
            self._position += 1
            if number != self._number + 1 and number > self._since:
                self._disorder.append(self._gap(number))
            if parts[4] < self._time or parts[2] == _CLOCK_ACCEPTED:
                self._look_at_time(number, parts)
            self._number, self._time = number, parts[4]
            yield parts

    def seen_by(self, followed: Followed) -> Followed:
        """With what was seen as far as the chain was followed."""
        disorder, notes = (
            tuple(each for each in seen if each.position <= followed.position) for seen in (self._disorder, self._notes)
        )
        return followed._replace(disorder=disorder, notes=notes)

    def _gap(self, number: int) -> Finding:
        first, last = self._number + 1, number - 1
        missing = f"the number {first} is" if first == last else f"the numbers {first} to {last} are"
        return Finding(position=self._position, words=f"{missing} missing before this entry, and the log has no gaps")

    def _look_at_time(self, number: int, parts: Parts) -> None:
        here, before, now = self._position, self._time.decode(), parts[4].decode()
        if parts[2] == _CLOCK_ACCEPTED:
            words = f"the clock was accepted: time had come to {before}, and counts from {now} anew"
            self._notes.append(Finding(position=here, words=words))
        elif number > self._since:
            words = f"time goes back from {before} to {now}, and no clock was accepted here"
            self._disorder.append(Finding(position=here, words=words))
        else:
            words = f"time goes back from {before} to {now}; then, the store did not keep it in order yet"
            self._notes.append(Finding(position=here, words=words))


class LinkChecker:
    """Follows the chain through the log, beside what the view knows of it, up to the first place that differs.

    The log may be its part behind an entry of this `position` and `hash`; `known` is then what the view knows beyond.
    """

    def __init__(
        self,
        events: Iterable[Parts],
        known: Iterable[Known],
        *,
        wanted: Iterable[int] = (),
        position: int = 0,
        hash: str = FIRST,
    ) -> None:
        self._events = _Ahead(events)
        self._known = _Ahead(known)
        self._wanted = frozenset(wanted)
        self.hashes: dict[int, str] = {0: FIRST}
        self.position = position
        self.hash = hash

    def followed(self) -> Followed:
        """Follow it to its end, or to the first place that differs."""
        finding = self.run()
        return Followed(self.position, self.hash, self.hashes, finding)

    def run(self) -> Finding | None:
        while (event := self._events.first()) is not None:
            known = self._known.first()
            computed = link(self.hash, event)
            if known is None:
                return Finding(
                    position=self.position + 1, words=f"the view of the audit log lacks entry {self.position + 1}"
                )
            if known != (self.position + 1, computed):
                return self._differs(event, known)
            self.position, self.hash = self.position + 1, computed
            if self.position in self._wanted:
                self.hashes[self.position] = computed
            self._events.advance()
            self._known.advance()
        if self._known.first() is not None:
            return Finding(
                position=self.position + 1,
                words=f"the log ends after entry {self.position}, and the entries from {self.position + 1} on are gone",
            )
        return None

    def _differs(self, event: Parts, known: Known) -> Finding:
        here, known_hash = self.position + 1, known[1]
        if known[0] != here:
            return Finding(position=here, words=f"the view of the audit log lacks entry {here}")
        following = self._events.at(1)
        comes_first = following is not None and link(self.hash, following) == known_hash
        if comes_first and self._is_known_as(event, here + 1):
            return Finding(position=here, words=f"entries {here} and {here + 1} have changed places")
        if comes_first:
            return Finding(position=here, words=f"an entry was put in before entry {here}")
        for gone in range(1, _LOOKS_AHEAD):
            if self._is_known_as(event, here + gone):
                what = f"entry {here} is gone" if gone == 1 else f"entries {here} to {here + gone - 1} are gone"
                return Finding(position=here, words=f"{what} from the log, or stands at another place")
        next_known = self._known.at(1)
        if following and next_known and link(link(self.hash, event), following) == next_known[1]:
            return Finding(position=here, words=f"the view of the audit log has another hash for entry {here}")
        return Finding(position=here, words=f"entry {here} was changed: its hash is not the one that the view knows")

    def _is_known_as(self, event: Parts, position: int) -> bool:
        before, it = self._known.at(position - self.position - 2), self._known.at(position - self.position - 1)
        return before is not None and it is not None and link(before[1], event) == it[1]


def bounded(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The first of many, and how many more there are."""
    if (more := len(findings) - _MOST_TOLD) <= 0:
        return tuple(findings)
    last = findings[_MOST_TOLD]
    return (*findings[:_MOST_TOLD], last.model_copy(update={"words": f"from here on, {more} more like these"}))


def first_bad_checkpoint(
    checkpoints: Sequence[Checkpoint],
    *,
    is_signed: Callable[[Checkpoint], bool],
    hashes: Mapping[int, str],
    end: int,
) -> Finding | None:
    """The first checkpoint that is forged, out of order, or vouches for another log than the one that was read."""
    previous: Checkpoint | None = None
    for checkpoint in checkpoints:
        name = f"checkpoint {checkpoint.number}"
        good = previous.position if previous else 0
        if not is_signed(checkpoint):
            return Finding(position=checkpoint.position, words=f"{name} is forged: its signature does not hold")
        if checkpoint.number != (previous.number + 1 if previous else 1) or checkpoint.previous != (
            previous.digest() if previous else FIRST
        ):
            return Finding(
                position=checkpoint.position,
                words=f"{name} does not follow the one before it: one is gone or was moved",
            )
        if checkpoint.position > end:
            return Finding(
                position=end + 1,
                words=f"{name} vouches for {checkpoint.position} entries and the log has {end}: its end is gone",
            )
        if hashes.get(checkpoint.position) != checkpoint.hash:
            return Finding(
                position=good + 1,
                words=(
                    f"the chain was rewritten: {name} vouches for other entries up to {checkpoint.position}; "
                    f"up to entry {good} they are as they were signed"
                ),
            )
        previous = checkpoint
    return None


class ExpectedRows:
    """What the views' tables should hold, from the changes that projections make; the audit log's are checked apart."""

    def __init__(self, as_stored: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
        self._as_stored = as_stored
        self._rows: dict[Table, dict[Any, tuple[int, dict[str, Any]]]] = {
            "selectable_methods": {},
            "method_versions": {},
            "training_runs": {},
        }
        self._keys: dict[Table, str] = {
            "selectable_methods": "method_id",
            "method_versions": "version_id",
            "training_runs": "run_id",
        }

    def apply(self, change: RowChange, position: int) -> None:
        if change.table not in self._rows:
            return
        rows = self._rows[change.table]
        match change:
            case Insert(row=row):
                rows[row[self._keys[change.table]]] = (position, self._as_stored(row))
            case Update(key=key, row=row):
                if key in rows:
                    rows[key] = (position, rows[key][1] | self._as_stored(row))
            case Remove(key=key):
                rows.pop(key, None)

    def differences(self, stored: Callable[[Table], Iterator[Mapping[str, Any]]]) -> Iterator[Finding]:
        """Rows of the views that are not what the log says; the position is that of the row's last event."""
        for table, rows in self._rows.items():
            expected = {self._as_stored({"key": key})["key"]: row for key, row in rows.items()}
            for row in stored(table):
                position, wanted = expected.pop(row[self._keys[table]], (0, {}))
                wrong = [name for name, value in row.items() if value != wanted.get(name)]
                if wrong:
                    yield Finding(
                        position=position, words=f"the view {table} disagrees with the log about {', '.join(wrong)}"
                    )
            for position, _ in expected.values():
                yield Finding(position=position, words=f"the view {table} lacks a row that the log says is there")


class _Ahead(Generic[T]):
    """An iterator whose next few items can be looked at before they are taken."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = iter(items)
        self._seen: deque[T] = deque()

    def at(self, index: int) -> T | None:
        while len(self._seen) <= index:
            try:
                self._seen.append(next(self._items))
            except StopIteration:
                return None
        return self._seen[index]

    def first(self) -> T | None:
        return self.at(0)

    def advance(self) -> None:
        if self._seen:
            self._seen.popleft()
