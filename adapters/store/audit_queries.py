"""Queries of the audit log: which entries fit is read from the index of facts, and only those are looked at."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import reduce
from itertools import islice
from operator import and_
from typing import Any

from adapters.store.sql_views import SqlViews
from domain.audit import audit_index
from domain.audit.audit_index import ALL_BITS, FACTS, Fact, block_of, from_bytes, within, words
from domain.audit.read_models import COUNTED, AuditCount, AuditEntry, AuditPage, AuditQuery, CountBy, Head

_COLUMNS = ", ".join(AuditEntry.model_fields)
_FIRST_BLOCKS = 4
_MOST_BLOCKS = 128
_FACTS_AT_ONCE = 100  # of a text with many words; SQLite takes 500


class AuditQueries(SqlViews):
    """The part of the views that answers for the audit log."""

    def audit_page(self, query: AuditQuery) -> AuditPage:
        """A page in the order asked for, found through the index of facts."""
        low, high = self._bounds(query)
        facts = _facts(query)
        if facts is None or low > high:
            return AuditPage(entries=(), next_after=None)
        order = "DESC" if query.newest_first else "ASC"
        within_bounds = f"position BETWEEN {low} AND {high}"
        if query.run is not None:
            # A run has a few entries.
            of_run = self._entries(f"run_id = {self._parameter('run')} AND {within_bounds}", order, {"run": query.run})
            found = [entry for entry in of_run if _fits(entry, facts)]
        elif not facts:
            found = self._entries(within_bounds, f"{order} LIMIT {query.limit + 1}")
        else:
            positions = self._positions(facts, low, high, newest_first=query.newest_first)
            found = self._at([*islice(positions, query.limit + 1)], order)
        entries = tuple(found[: query.limit])
        return AuditPage(entries=entries, next_after=entries[-1].position if len(found) > query.limit else None)

    def _at(self, positions: Sequence[int], order: str) -> list[AuditEntry]:
        return self._entries(f"position IN ({', '.join(map(str, positions))})", order) if positions else []

    def _entries(self, condition: str, order: str, values: dict[str, Any] | None = None) -> list[AuditEntry]:
        rows = self._select(
            f"SELECT {_COLUMNS} FROM {self.prefix}audit_log WHERE {condition} ORDER BY position {order}", values
        )
        return [AuditEntry.model_validate(row) for row in rows]

    def _positions(self, facts: Sequence[Fact], low: int, high: int, *, newest_first: bool) -> Iterator[int]:
        """The positions of the entries that have all of these facts; the index is read only as far as is needed."""
        first, last, at_once = block_of(low), block_of(high), _FIRST_BLOCKS
        while first <= last:
            if newest_first:
                began, ended = max(first, last - at_once + 1), last
                last = began - 1
            else:
                began, ended = first, min(last, first + at_once - 1)
                first = ended + 1
            blocks = self._having(facts, began, ended)
            for block in sorted(blocks, reverse=newest_first):
                bits = within(blocks[block], block, low, high)
                yield from audit_index.positions(bits, block, newest_first=newest_first)
            at_once = min(4 * at_once, _MOST_BLOCKS)

    def _having(self, facts: Sequence[Fact], first: int, last: int) -> dict[int, int]:
        """For each block from `first` to `last` the bits of the entries that have all of these facts, if any have."""
        found: dict[int, list[int]] = {}
        for start in range(0, len(facts), _FACTS_AT_ONCE):
            some = facts[start : start + _FACTS_AT_ONCE]
            statement = " UNION ALL ".join(
                f"SELECT block, bits FROM {self.prefix}audit_index WHERE fact = '{name}' "
                f"AND value = {self._parameter(f'value{number}')} AND block BETWEEN {first} AND {last}"
                for number, (name, _) in enumerate(some)
            )
            for row in self._read(statement, {f"value{number}": value for number, (_, value) in enumerate(some)}):
                found.setdefault(row["block"], []).append(from_bytes(row["bits"]))
        return {block: reduce(and_, bits) for block, bits in found.items() if len(bits) == len(facts)}

    def audit_counts(self, by: CountBy, query: AuditQuery) -> list[AuditCount]:
        """Entries that the query fits (its `after`, order and limit aside), by value, the most first.

        By the run, or of a run, entries are looked at one by one; everything else is counted in the index.
        """
        low, high = self._bounds(query.model_copy(update={"after": None}))
        facts = _facts(query)
        if facts is None or low > high:
            return []
        if query.run is not None:
            of_run = self.audit_page(query.model_copy(update={"after": None, "limit": 2**31})).entries
            counts = Counter(_value(entry, by) for entry in of_run)
        elif by is CountBy.RUN:
            counts = self._runs(facts, low, high)
        elif query.since is None and query.until is None and query.text is None and by is not CountBy.DAY:
            counts = self._kept_counts(FACTS[by.value], facts)
        else:
            counts = self._indexed_counts(by.value, facts, low, high)
        in_order = sorted(counts.items(), key=lambda count: (-count[1], count[0]))
        return [AuditCount(value=value or None, entries=entries) for value, entries in in_order if entries]

    def _kept_counts(self, column: str, facts: Sequence[Fact]) -> Counter[str]:
        assert column in COUNTED
        holding = " AND ".join(f"{FACTS[name]} = {self._parameter(name)}" for name, _ in facts)
        rows = self._read(
            f"SELECT {column} AS value, sum(entries) AS entries FROM {self.prefix}audit_counts "
            f"{f'WHERE {holding} ' if facts else ''}GROUP BY {column}",
            dict(facts),
        )
        return Counter({row["value"]: int(row["entries"]) for row in rows})

    def _indexed_counts(self, name: str, facts: Sequence[Fact], low: int, high: int) -> Counter[str]:
        index = f"{self.prefix}audit_index WHERE fact = '{name}' AND block BETWEEN"
        first, last = block_of(low), block_of(high)
        if facts:
            fitting, looked_at = self._having(facts, first, last), {(first, last)}
        else:
            # The entries of the whole blocks between the first and the last are counted already.
            fitting, looked_at = dict.fromkeys((first, last), ALL_BITS), {(first, first), (last, last)}
        for edge in {first, last} & fitting.keys():
            fitting[edge] = within(fitting[edge], edge, low, high)
        counts = Counter[str]()
        for begin, end in looked_at:
            for row in self._read(f"SELECT value, block, bits FROM {index} {begin} AND {end}"):
                if fits := fitting.get(row["block"]):
                    counts[row["value"]] += (from_bytes(row["bits"]) & fits).bit_count()
        if not facts and last - first > 1:
            whole = f"{first + 1} AND {last - 1} GROUP BY value"
            for row in self._read(f"SELECT value, sum(entries) AS entries FROM {index} {whole}"):
                counts[row["value"]] += int(row["entries"])
        return counts

    def _runs(self, facts: Sequence[Fact], low: int, high: int) -> Counter[str]:
        counts = Counter[str]()
        for condition in self._ranges(facts, low, high):
            rows = self._select(
                f"SELECT run_id AS value, count(*) AS entries FROM {self.prefix}audit_log "
                f"WHERE {condition} GROUP BY run_id"
            )
            for row in rows:
                counts[str(row["value"] or "")] += row["entries"]
        return counts

    def _ranges(self, facts: Sequence[Fact], low: int, high: int) -> Iterator[str]:
        """Conditions that together hold for what fits."""
        if not facts:
            yield f"position BETWEEN {low} AND {high}"
            return
        positions = self._positions(facts, low, high, newest_first=False)
        while some := [*islice(positions, 1000)]:
            yield f"position IN ({', '.join(map(str, some))})"

    def position_at(self, moment: datetime) -> int:
        """The last position that was recorded at or before a moment; 0 when there is none."""
        return self._edge("recorded_at <= {} ORDER BY recorded_at DESC, position DESC", moment) or 0

    def head_at(self, position: int) -> Head:
        """Where the log stood at a position that the views have."""
        if position == 0:
            return Head(notification_id=0, position=0, hash="0" * 64)
        (row,) = self._select(
            f"SELECT notification_id, position, hash FROM {self.prefix}audit_log "
            f"WHERE position = {self._parameter('position')}",
            {"position": position},
        )
        return Head(**row)

    def _bounds(self, query: AuditQuery) -> tuple[int, int]:
        """The first and the last position that can fit; when none can, the first is beyond the last."""
        low, high = 1, self.head().position
        if query.after is not None:
            low, high = (low, min(high, query.after - 1)) if query.newest_first else (query.after + 1, high)
        if query.since is not None:
            first = self._edge("recorded_at >= {} ORDER BY recorded_at, position", query.since)
            low = high + 1 if first is None else max(low, first)
        if query.until is not None:
            high = min(high, self.position_at(query.until))
        return low, high

    def _edge(self, condition: str, moment: datetime) -> int | None:
        rows = self._select(
            f"SELECT position FROM {self.prefix}audit_log WHERE {condition.format(self._parameter('moment'))} LIMIT 1",
            {"moment": moment},
        )
        return rows[0]["position"] if rows else None


def _facts(query: AuditQuery) -> list[Fact] | None:
    """What is asked for, or None when nothing can fit it."""
    given = {name: getattr(query, name) for name in FACTS}
    searched = words(query.text or "")
    if (query.text is not None and not searched) or "" in given.values():
        return None
    facts = [(name, str(value)) for name, value in given.items() if value is not None]
    return [*facts, *(("word", word) for word in searched)]


def _fits(entry: AuditEntry, facts: Sequence[Fact]) -> bool:
    return set(facts) <= {*audit_index.facts_of(entry.__dict__)}


def _value(entry: AuditEntry, by: CountBy) -> str:
    if by is CountBy.DAY:
        return entry.recorded_at.date().isoformat()
    return str((entry.run_id if by is CountBy.RUN else getattr(entry, FACTS[by.value])) or "")
