"""Queries of the audit log, each with a bounded amount of work, whatever is asked for and however long the log is.

A page is found in two steps. One condition drives: its index gives candidates in the order of the log, at most
`WINDOW` of them, which the other conditions then sift. What is left over is found from the next position on.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from adapters.views.sql import SqlViews
from domain.projections import words
from domain.read_models import COUNTED, AuditCount, AuditEntry, AuditPage, AuditQuery, CountBy, Head

WINDOW = 1000

COLUMNS = {
    "run": "run_id",
    "licence": "licence_id",
    "method": "method",
    "actor": "actor",
    "text": "words",
    "action": "action",
    "outcome": "outcome",
    "origin": "origin",
}
"""Conditions and their columns, those that usually fit fewest entries first: the first one given drives."""

_COUNT_COLUMNS = {
    CountBy.ACTOR: "actor",
    CountBy.ACTION: "action",
    CountBy.METHOD: "method",
    CountBy.OUTCOME: "outcome",
    CountBy.ORIGIN: "origin",
    CountBy.LICENCE: "licence_id",
    CountBy.RUN: "run_id",
}


class Candidates(NamedTuple):
    """Where candidates come from: their position, and a table with a condition.

    A table without the columns that sift says which it has, and how the audit log is joined to them.
    """

    position: str
    source: str
    columns: str = ""
    joined: str = ""


class AuditQueries(SqlViews):
    """The part of the views that answers for the audit log."""

    @abstractmethod
    def _with_words(self, searched: tuple[str, ...]) -> Candidates:
        """Entries that have all of these words, through an index. Words have letters and digits only."""

    @abstractmethod
    def _has_words(self, searched: tuple[str, ...]) -> str:
        """Whether a candidate has all of these words."""

    @abstractmethod
    def _day(self, column: str) -> str:
        """The day of a moment, in UTC."""

    def audit_page(self, query: AuditQuery) -> AuditPage:
        """A page in the order asked for, found with a bounded amount of work."""
        bounds, conditions = self._bounds(query), self._conditions(query)
        if bounds is None or conditions is None:
            return AuditPage(entries=(), next_after=None)
        low, high = bounds
        order = "DESC" if query.newest_first else "ASC"
        driving, *sifting = [*conditions] or (None,)
        if driving == "outcome" and query.outcome == "done":
            driving, sifting = None, ["outcome", *sifting]  # nearly everything was done: no index helps
        candidates = self._candidates(driving, conditions, query)
        columns = ["position", *(COLUMNS[name] for name in sifting if name is not None)] if sifting else ["position"]
        inner = (
            f"SELECT {candidates.columns or ', '.join(columns)} FROM {candidates.source} "
            f"{candidates.position} BETWEEN {low} AND {high} ORDER BY {candidates.position} {order}"
        )
        searching = f"{inner} LIMIT {query.limit + 1}"
        if sifting:
            sifted = " AND ".join(conditions[name] for name in sifting if name is not None)
            searching = (
                f"SELECT candidate.position FROM ({inner} LIMIT {WINDOW}) candidate {candidates.joined} "
                f"WHERE {sifted} ORDER BY candidate.position {order} LIMIT {query.limit + 1}"
            )
        found = self._select(searching, _values(query))
        entries = self._entries([row["position"] for row in found[: query.limit]], order)
        more = None
        if len(found) > query.limit:
            more = entries[-1].position
        elif sifting:
            last = self._select(f"{inner} LIMIT 1 OFFSET {WINDOW - 1}", _values(query))
            more = last[0]["position"] if last else None
        return AuditPage(entries=entries, next_after=more)

    def _entries(self, positions: Sequence[int], order: str) -> tuple[AuditEntry, ...]:
        # A statement of its own: in one with the search, PostgreSQL may choose to walk the table beside it.
        if not positions:
            return ()
        rows = self._select(
            f"SELECT {', '.join(AuditEntry.model_fields)} FROM {self.prefix}audit_log "
            f"WHERE position IN ({', '.join(map(str, positions))}) ORDER BY position {order}"
        )
        return tuple(AuditEntry.model_validate(row) for row in rows)

    def audit_counts(self, by: CountBy, query: AuditQuery) -> list[AuditCount]:
        """Entries that the query fits (its `after`, order and limit aside), by value, the most first.

        Without a time range, a text or a run the answer comes from counts that are kept; with one, from the index of
        what was asked for, and then the work grows with the number of entries that are counted.
        """
        conditions = self._conditions(query)
        bounds = self._bounds(query.model_copy(update={"after": None}))
        if conditions is None or bounds is None:
            return []
        kept = by in _COUNT_COLUMNS and _COUNT_COLUMNS[by] in COUNTED and not {"text", "run"} & set(conditions)
        column = self._day("recorded_at") if by is CountBy.DAY else _COUNT_COLUMNS[by]
        holding = [*conditions.values()]
        if kept and query.since is None and query.until is None:
            table, entries = "audit_counts", "sum(entries)"
        else:
            table, entries = "audit_log", "count(*)"
            holding.append("position BETWEEN {} AND {}".format(*bounds))
        where = f"WHERE {' AND '.join(holding)} " if holding else ""
        rows = self._select(
            f"SELECT {column} AS value, {entries} AS entries FROM {self.prefix}{table} {where}"
            f"GROUP BY {column} ORDER BY 2 DESC, 1",
            _values(query),
        )
        return [
            AuditCount(value=str(row["value"]) if row["value"] not in (None, "") else None, entries=int(row["entries"]))
            for row in rows
        ]

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

    def _bounds(self, query: AuditQuery) -> tuple[int, int] | None:
        """The first and the last position that can fit, or None when none can."""
        low, high = 1, 2**62
        if query.after is not None:
            low, high = (low, query.after - 1) if query.newest_first else (query.after + 1, high)
        if query.since is not None:
            first = self._edge("recorded_at >= {} ORDER BY recorded_at, position", query.since)
            if first is None:
                return None
            low = max(low, first)
        if query.until is not None:
            high = min(high, self.position_at(query.until))
        return (low, high) if low <= high else None

    def _edge(self, condition: str, moment: datetime) -> int | None:
        rows = self._select(
            f"SELECT position FROM {self.prefix}audit_log WHERE {condition.format(self._parameter('moment'))} LIMIT 1",
            {"moment": moment},
        )
        return rows[0]["position"] if rows else None

    def _conditions(self, query: AuditQuery) -> dict[str, str] | None:
        """The conditions that were given, in SQL, or None when nothing can fit them."""
        given = [name for name in COLUMNS if getattr(query, name) is not None]
        searched = words(query.text or "")
        if "text" in given and not searched:
            return None
        return {
            name: self._has_words(searched) if name == "text" else f"{COLUMNS[name]} = {self._parameter(name)}"
            for name in given
        }

    def _candidates(self, driving: str | None, conditions: Mapping[str, str], query: AuditQuery) -> Candidates:
        table = f"{self.prefix}audit_log"
        if driving is None:
            return Candidates("position", f"{table} WHERE")
        if driving == "text":
            return self._with_words(words(query.text or ""))
        if driving == "outcome":
            return Candidates("position", f"{table} WHERE outcome = 'refused' AND")
        return Candidates("position", f"{table} WHERE {conditions[driving]} AND")


def _values(query: AuditQuery) -> dict[str, Any]:
    return {name: value for name in COLUMNS if name != "text" and (value := getattr(query, name)) is not None}
