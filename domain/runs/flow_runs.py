"""A training run and the flow run that carries it: two accounts of one thing, and what to do when they differ.

The event store has the last word on what ended how; Prefect has it on what is still waiting; the process, where it can
be looked at, has it on whether anything goes on at all.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from domain.audit.read_models import Run
from domain.ports import Progressed
from domain.printable import printable
from domain.runs.training_run import RunRequest, RunStatus
from domain.values import Value


class Queue(StrEnum):
    """Where a run waits for a worker: what somebody looks at goes before what may take until tomorrow."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


class FlowRuns(Protocol):
    """Trainings as flow runs, by the training's id. Every method raises `PrefectUnavailable` when no server answers."""

    def create(self, request: RunRequest, *, queue: Queue, idempotency_key: str | None = None) -> UUID:
        """A flow run that waits to be released; its id is the training's id. Raises `BackendUnavailable`."""
        ...

    def release(self, run_id: UUID) -> None:
        """Let a worker take it."""
        ...

    def take_again(self, run_id: UUID) -> None:
        """Let a worker take an ended one once more, with the same id. Raises `RunNotFound`."""
        ...

    def cancel(self, run_id: UUID, reason: str) -> None:
        """Give it up; a worker that carries it stops. Raises `RunNotFound`."""
        ...

    def state(self, run_id: UUID) -> str:
        """Where it stands, in a word for people: Pending, Scheduled, Running, … Raises `RunNotFound`."""
        ...

    def progress(self, run_id: UUID) -> Progressed | None:
        """How far it has come, as its worker last told. Raises `RunNotFound`."""
        ...

    def log(self, run_id: UUID, *, limit: int) -> Sequence[str]:
        """The newest lines of its log, the oldest of them first."""
        ...

    def address(self, run_id: UUID) -> str:
        """Where a person sees it."""
        ...

    def scheduled(self, method: str) -> int:
        """How many flow runs of a method are scheduled."""
        ...


ENDED_STATES = frozenset({"Completed", "Failed", "Crashed", "Cancelled"})
"""The words of `FlowRuns.state` for one that nothing carries any more."""


class CarriedAs(StrEnum):
    """Prefect's kinds of state."""

    SCHEDULED = "scheduled"
    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CRASHED = "crashed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (CarriedAs.COMPLETED, CarriedAs.FAILED, CarriedAs.CRASHED, CarriedAs.CANCELLED)


class Carried(Value):
    """A flow run as Prefect shows it, since when (UTC), under which name and with which message.

    `attempt` counts how often a process began to carry it.
    """

    run_id: UUID
    as_: CarriedAs
    name: str
    message: str
    since: datetime
    attempt: int


class Waiting(Value):
    """A flow run that waits for a worker, and what the training is to be that it asks for."""

    run_id: UUID
    parameters: dict[str, Any]


class Fix(Value):
    """What brings the two accounts together. `record` is the end that the event store lacks, `show` what Prefect must.

    `interrupted` belongs to a recorded failure. `take_again` lets a worker take the run once more; `end_process` ends
    the process that still carries it.
    """

    record: RunStatus | None = None
    interrupted: bool = False
    show: CarriedAs | None = None
    take_again: bool = False
    end_process: bool = False
    reason: str = ""


GRACE = timedelta(seconds=10)
"""How long a hook in another process may take to record an end."""

LONGEST_START = timedelta(seconds=60)
"""How long a worker may take from a run it took to the flow's first line."""

_GONE = "Its process is gone: it was killed, or its machine or the network stopped."
SUSPENDED = "It was suspended in Prefect."
CANCELLED = "It was cancelled in Prefect."
ENDED = "Its process ended."
_FORGOTTEN = "Prefect does not know this run any more."
_MOST_QUOTED = 500


def with_prefects_words(what: str, message: str | None) -> str:
    """What happened, and what Prefect's state says of it: quoted, because whoever reaches Prefect can write that."""
    said = printable(" ".join((message or "").split()), at_most=_MOST_QUOTED).translate(_QUOTES_INSIDE)
    return f"{what} Prefect says: “{said}”" if said else what


_QUOTES_INSIDE = str.maketrans("“”", '""')


def fix_for(  # noqa: PLR0911 -- one return a case reads best
    run: Run | None, carried: Carried | None, *, lives: bool | None, now: datetime
) -> Fix | None:
    """What to do about one run, or None when both accounts agree or may still come to agree by themselves.

    `lives` says whether the process of the newest attempt carries the run: None where nobody can tell.
    """
    if run is None:
        return _unrequested(carried, lives=lives, now=now) if carried is not None else None
    if run.finished_at is not None:
        return _finished(run, carried, lives=lives, now=now) if carried is not None else _unheard(run, lives, now)
    if carried is None:
        if lives or now - (run.started_at or run.requested_at) < LONGEST_START:
            return None
        return _lost(run, lives=lives)
    age = now - carried.since
    if carried.as_.final:
        if (lives and age < LONGEST_START) or age < GRACE:
            return None
        return _recorded_as(carried, end_process=bool(lives))
    if carried.as_ is CarriedAs.CANCELLING:
        if age < 3 * GRACE and lives is not False:
            return None
        reason = with_prefects_words(CANCELLED, carried.message)
        return Fix(record=RunStatus.CANCELLED, show=CarriedAs.CANCELLED, end_process=bool(lives), reason=reason)
    if carried.as_ is CarriedAs.RUNNING and lives is False:
        return Fix(record=RunStatus.FAILED, interrupted=True, show=CarriedAs.CRASHED, reason=_GONE)
    if carried.as_ is CarriedAs.PAUSED and run.status is RunStatus.RUNNING and lives is False:
        return Fix(record=RunStatus.FAILED, interrupted=True, reason=SUSPENDED)
    if carried.as_ is CarriedAs.PENDING and run.status is RunStatus.REQUESTED and not lives and age > LONGEST_START:
        return Fix(take_again=True, reason="The worker that had taken it is gone.")
    return None


def _lost(run: Run, *, lives: bool | None) -> Fix | None:
    if run.status is RunStatus.REQUESTED:
        return Fix(record=RunStatus.CANCELLED, reason=f"{_FORGOTTEN} It had not started.")
    if lives is False:
        return Fix(record=RunStatus.FAILED, interrupted=True, reason=f"{_FORGOTTEN} {_GONE}")
    return None


def _unheard(run: Run, lives: bool | None, now: datetime) -> Fix | None:
    """What Prefect has forgotten can be told by nobody else that its run has ended."""
    assert run.finished_at is not None
    given_up = run.status is RunStatus.CANCELLED or bool(run.interrupted)
    if lives and given_up and now - run.finished_at > GRACE:
        return Fix(end_process=True, reason=f"{_FORGOTTEN} It went on after it was recorded as {run.status}.")
    return None


def _recorded_as(carried: Carried, *, end_process: bool) -> Fix:
    what = CANCELLED if carried.as_ is CarriedAs.CANCELLED else f"Prefect shows it as {carried.as_}."
    reason = with_prefects_words(what, carried.message)
    match carried.as_:
        case CarriedAs.CANCELLED:
            return Fix(record=RunStatus.CANCELLED, end_process=end_process, reason=reason)
        case CarriedAs.FAILED:
            return Fix(record=RunStatus.FAILED, end_process=end_process, reason=reason)
        case CarriedAs.CRASHED:
            return Fix(record=RunStatus.FAILED, interrupted=True, end_process=end_process, reason=reason)
    return Fix(
        record=RunStatus.FAILED,
        interrupted=True,
        show=CarriedAs.CRASHED,
        end_process=end_process,
        reason="Prefect shows it as completed, but its completion was not recorded.",
    )


def _unrequested(carried: Carried, *, lives: bool | None, now: datetime) -> Fix | None:
    """A flow run of which the event store knows nothing: it was made and not released, or its process never began."""
    age = now - carried.since
    if carried.as_ is CarriedAs.PENDING and age > LONGEST_START and not lives:
        if carried.name == "Pending":
            return Fix(show=CarriedAs.CANCELLED, reason="It was never released: whoever asked for it went away.")
        return Fix(take_again=True, reason="The worker that had taken it is gone.")
    if carried.as_ is CarriedAs.RUNNING and lives is False:
        return Fix(show=CarriedAs.CRASHED, reason=_GONE)
    if carried.as_ is CarriedAs.CANCELLING and (age > 3 * GRACE or lives is False):
        reason = with_prefects_words(CANCELLED, carried.message)
        return Fix(show=CarriedAs.CANCELLED, end_process=bool(lives), reason=reason)
    return None


def _finished(run: Run, carried: Carried, *, lives: bool | None, now: datetime) -> Fix | None:
    """The event store knows the end; Prefect is shown the same, unless it is about to be."""
    truth = {
        RunStatus.COMPLETED: CarriedAs.COMPLETED,
        RunStatus.CANCELLED: CarriedAs.CANCELLED,
        RunStatus.FAILED: CarriedAs.CRASHED if run.interrupted else CarriedAs.FAILED,
    }[run.status]
    assert run.finished_at is not None
    if carried.as_ is truth:
        if lives and run.interrupted and now - carried.since > LONGEST_START:
            # Nobody heard of it while its network was away, and its run was given up meanwhile.
            return Fix(end_process=True, reason="It went on unheard, after its run was recorded as interrupted.")
        return None
    suspended = carried.as_ is CarriedAs.PAUSED and bool(run.interrupted)
    waits = suspended or carried.as_ in (CarriedAs.SCHEDULED, CarriedAs.PENDING)
    if waits and run.status is not RunStatus.CANCELLED:
        return None  # somebody retries or resumes it; the flow says what becomes of that
    age = now - max(run.finished_at, carried.since)
    stops_within = 3 * GRACE if carried.as_ is CarriedAs.CANCELLING else LONGEST_START
    if lives and run.status is RunStatus.CANCELLED and age > stops_within:
        return Fix(show=truth, end_process=True, reason=run.reason or "It went on after it was cancelled.")
    if not waits and (lives or age < 2 * GRACE):
        return None
    return Fix(show=truth, reason=run.reason or f"The event store has it as {run.status}.")
