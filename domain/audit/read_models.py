"""The read models' rows, the changes that projections make to them, and the interface of the views that keep them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, Protocol
from uuid import UUID

from pydantic import Field, ModelWrapValidatorHandler, ValidationError, model_validator

from domain.bounded import WHOLE_AT_MOST
from domain.catalogue.method_spec import Change, MethodSpec
from domain.catalogue.options import OptionValue
from domain.errors import InvalidQuery
from domain.runs.training_run import Provenance, RunRequest, RunStatus
from domain.values import Value, in_words, must_be_storable_texts


class SelectableMethod(Value):
    """A method that can be chosen for a training. `version` counts the events of its history."""

    method_id: UUID
    spec: MethodSpec
    preinstalled: bool
    version: int


class MethodVersion(Value):
    """A method as it was from one moment (UTC) on; `version` counts the events of its history."""

    version: int
    spec: MethodSpec
    at: datetime
    by: str


class RunStanding(StrEnum):
    """Where a run stands, in a word for people: its status, or that it was interrupted and may be resumed."""

    REQUESTED = "requested"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def status(self) -> RunStatus:
        """The status of runs that stand here."""
        return RunStatus.FAILED if self is RunStanding.INTERRUPTED else RunStatus(self.value)


class Run(Value):
    """A training run as far as it has come. Times are UTC; `duration_s` is seconds from start to end.

    `interrupted` is set for a failed run: whether its process, machine or network went away, so that it may be resumed.
    `measured` is set for a completed one: whether `before` and `after` are there, as far as anything can be measured.
    """

    run_id: UUID
    status: RunStatus
    request: RunRequest
    requested_by: str
    requested_at: datetime
    method_version: int | None = None
    options: dict[str, OptionValue] | None = None
    provenance: Provenance | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    steps: int | None = None
    artifact: str | None = None
    artifact_hash: str | None = None
    weights_hash: str | None = None
    metrics: dict[str, float] | None = None
    before: dict[str, float] | None = None
    after: dict[str, float] | None = None
    measured: bool | None = None
    reason: str | None = None
    interrupted: bool | None = None

    @property
    def standing(self) -> str:
        """Where it stands, in a word for people: its status, or that it was interrupted and may be resumed."""
        return "interrupted" if self.resumable else self.status.value

    @property
    def resumable(self) -> bool:
        """Whether it was interrupted on its way, so that it can go on from its newest checkpoint."""
        return self.status is RunStatus.FAILED and bool(self.interrupted) and self.options is not None

    @property
    def duration_s(self) -> float | None:
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


Outcome = Literal["done", "refused"]


class AuditEntry(Value):
    """One entry of the audit log.

    `position` is the log's own gap-free sequence from 1; `hash` links all that is stored of this entry's event to the
    hash before it, so that two logs with one last hash are the same log. `occurred_at` is when it was decided, by the
    clock of the machine that acted; `recorded_at` when the store took it in. `method` is the internal name of the
    method that the entry is about, `run_id` the training run; `correlation_id` is that run, or the flow run or the
    command that the entry belongs to. `schema_version` is that of the stored event.
    """

    position: int
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    edition: str
    licence_id: str | None
    key_id: str | None
    origin: str
    flow_run_id: UUID | None
    action: str
    subject_type: str
    subject_id: UUID
    subject_name: str
    method: str | None
    run_id: UUID | None
    outcome: Outcome
    reason: str | None
    command_id: UUID
    correlation_id: UUID
    changes: tuple[Change, ...]
    schema_version: int
    sentence: str
    hash: str

    @property
    def told(self) -> str:
        """The sentence, and the reason where there is one."""
        return f"{self.sentence}: {self.reason}" if self.reason else self.sentence

    def document(self) -> dict[str, Any]:
        """This entry as scripts and exports rely on it: plain values under the names of the fields."""
        return {
            "position": self.position,
            "occurred_at": _in_full(self.occurred_at),
            "recorded_at": _in_full(self.recorded_at),
            "actor": self.actor,
            "edition": str(self.edition),
            "licence_id": self.licence_id,
            "key_id": self.key_id,
            "origin": str(self.origin),
            "flow_run_id": str(self.flow_run_id) if self.flow_run_id else None,
            "action": self.action,
            "subject_type": self.subject_type,
            "subject_id": str(self.subject_id),
            "subject_name": self.subject_name,
            "method": self.method,
            "run_id": str(self.run_id) if self.run_id else None,
            "outcome": self.outcome,
            "reason": self.reason,
            "command_id": str(self.command_id),
            "correlation_id": str(self.correlation_id),
            "changes": [change.model_dump(mode="json") for change in self.changes],
            "schema_version": self.schema_version,
            "sentence": self.sentence,
            "hash": self.hash,
        }


def _in_full(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


class AuditQuery(Value):
    """Which entries of the audit log to read: all conditions hold.

    A page begins beyond the position `after`, in the order asked for: the oldest first, or the newest. `since` and
    `until` are about `recorded_at`, both inclusive: there is one clock for it, and it goes with the positions. `text`
    is words, all of which the sentence has, in whatever case and order.
    """

    actor: str | None = None
    action: str | None = None
    method: str | None = None
    run: UUID | None = None
    outcome: Outcome | None = None
    origin: str | None = None
    licence: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    newest_first: bool = False
    after: int | None = Field(default=None, ge=0, le=WHOLE_AT_MOST)
    limit: int = Field(default=100, ge=0, le=WHOLE_AT_MOST)

    @model_validator(mode="wrap")
    @classmethod
    def _in_our_words(cls, given: Any, handler: ModelWrapValidatorHandler["AuditQuery"]) -> "AuditQuery":
        try:
            query = handler(given)
            must_be_storable_texts(query.model_dump())
        except ValueError as error:  # pydantic's, too
            words = (
                in_words(error, what="a query", fields=cls.model_fields, hints={})
                if isinstance(error, ValidationError)
                else str(error)
            )
            raise InvalidQuery(words) from None
        return query


class AuditPage(Value):
    """Some entries, and the position after which to go on (None at the end of what fits)."""

    entries: tuple[AuditEntry, ...]
    next_after: int | None


class CountBy(StrEnum):
    """What entries can be counted by."""

    ACTOR = "actor"
    ACTION = "action"
    METHOD = "method"
    OUTCOME = "outcome"
    ORIGIN = "origin"
    LICENCE = "licence"
    RUN = "run"
    DAY = "day"


COUNTED = ("actor", "action", "method", "outcome", "origin", "licence_id")
"""What entries are counted by as they come: there is a row for each combination, '' for what is absent."""


class AuditCount(Value):
    """How many entries have this value; None for those that have none."""

    value: str | None
    entries: int


# What a projection does to the rows. Tables are named as the read models are.

Table = Literal["selectable_methods", "method_versions", "training_runs", "audit_log"]
KeptTable = Table | Literal["audit_counts", "audit_index"]


@dataclass(frozen=True)
class Insert:
    """A new row; columns by name."""

    table: Table
    row: dict[str, Any]


@dataclass(frozen=True)
class Update:
    """New values for the columns of the row with this key."""

    table: Table
    key: UUID
    row: dict[str, Any]


@dataclass(frozen=True)
class Remove:
    """The row with this key goes."""

    table: Table
    key: UUID


RowChange = Insert | Update | Remove


@dataclass(frozen=True)
class Head:
    """How far the views are: the event log's notification id, the last entry's position, and its hash."""

    notification_id: int
    position: int
    hash: str


LOG_BEGINS = Head(notification_id=0, position=0, hash="0" * 64)


class ViewsMoved(Exception):
    """Somebody else projected the same events first: nothing was written, read the head again."""


class Views(Protocol):
    """Keeps all read models together under one head: rows and head change in one transaction."""

    @property
    def writable(self) -> bool:
        """Whether this user may bring the views up to date; an auditor reads them as they stand."""
        ...

    def head(self) -> Head: ...

    def project(self, changes: Sequence[RowChange], *, since: Head, until: Head) -> None:
        """Write the changes and move the head. Raises `ViewsMoved` when the head is not `since` any more."""
        ...

    def close(self) -> None:
        """Let go of what was opened."""
        ...

    def clear(self) -> None:
        """Drop every row and begin again at `LOG_BEGINS`."""
        ...

    def selectable_methods(self) -> list[SelectableMethod]:
        """By internal name."""
        ...

    def selectable_method(self, internal_name: str) -> SelectableMethod | None: ...

    def training_runs(
        self,
        *,
        method: str | None = None,
        method_version: int | None = None,
        status: RunStatus | None = None,
        requested_by: str | None = None,
        interrupted: bool = False,
        after: UUID | None = None,
        limit: int = 100,
    ) -> list[Run]:
        """The newest first; those behind the run `after`."""
        ...

    def training_run(self, run_id: UUID) -> Run | None: ...

    def audit_page(self, query: AuditQuery) -> AuditPage:
        """A page in the order asked for, found through the index of facts: no entry is looked at that does not fit."""
        ...

    def audit_counts(self, by: CountBy, query: AuditQuery) -> list[AuditCount]:
        """Entries that the query fits (its `after`, order and limit aside), by value, the most first."""
        ...

    def selectable_methods_at(self, position: int) -> list[SelectableMethod]:
        """What was selectable when the log ended at this position, by internal name."""
        ...

    def position_at(self, moment: datetime) -> int:
        """The last position that was recorded at or before a moment; 0 when there is none."""
        ...

    def head_at(self, position: int) -> Head:
        """Where the log stood at a position that the views have."""
        ...

    def hashes(self, *, since: int, limit: int) -> list[tuple[int, str]]:
        """The audit log's positions and hashes beyond a position."""
        ...

    def as_stored(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row that a projection made, as `rows` would give it."""
        ...

    def rows(self, table: KeptTable, *, since: int = 0, limit: int | None = None) -> Iterator[Mapping[str, Any]]:
        """A read model's rows in the order of its key, as they are stored; of the audit log those beyond `since`."""
        ...
