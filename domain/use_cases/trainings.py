"""The acts on trainings: look before, start, see, cancel, let go on, repeat."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import Field

from domain.audit.read_models import Run
from domain.catalogue.method_spec import Backend
from domain.ports import Progressed
from domain.runs.flow_runs import Queue
from domain.runs.run_plan import RunPlan
from domain.runs.training_run import RunRequest, RunStatus
from domain.use_cases.act import Act
from domain.values import Value

RUNS_AT_MOST = 200


class RunsQuery(Value):
    """Which runs to list, the newest first; a page goes on behind the run `after`."""

    method: str | None = None
    status: RunStatus | None = None
    requested_by: str | None = None
    after: UUID | None = None
    limit: int = Field(default=50, ge=1, le=RUNS_AT_MOST)


class RunsPage(Value):
    """Some runs, and the run after which to go on (None at the end of what fits)."""

    runs: tuple[Run, ...]
    next_after: UUID | None


class ShownRun(Value):
    """A run with all that is known of how it went.

    `steps` hold `step` and the metrics of every reported step; `answers` the sample answers before and after;
    `progress` is that of a run under way; `address` is where Prefect shows it, if it can be reached; `files` are those
    of its artefact, with their sizes in bytes; `log` its newest lines.
    """

    run: Run
    steps: tuple[Mapping[str, float], ...] = ()
    answers: tuple[Mapping[str, Any], ...] = ()
    progress: Progressed | None = None
    address: str | None = None
    files: tuple[tuple[str, int], ...] = ()
    log: tuple[str, ...] = ()


class Started(Value):
    """A run that was requested and released. `remarks` say what it waits for beside a free worker."""

    run_id: UUID
    address: str
    remarks: tuple[str, ...] = ()


class DryRun(Act[RunPlan]):
    """What a training would do and take; nothing is started."""

    request: RunRequest


class StartTraining(Act[Started]):
    """Request a training and let a worker take it."""

    request: RunRequest
    queue: Queue = Queue.INTERACTIVE
    name: str = ""
    idempotency_key: str | None = None


class ListRuns(Act[RunsPage]):
    """Training runs, the newest first."""

    query: RunsQuery = RunsQuery()


class ShowRun(Act[ShownRun]):
    """One run. `in_full` adds what only a finished one has, and what takes longer to fetch."""

    run_id: UUID
    in_full: bool = True


class FollowRun(Act[Iterator[Progressed]]):
    """How a run goes on, until it has ended."""

    run_id: UUID


class CancelRun(Act[None]):
    """Give a run up. One that waits never starts; one that runs is stopped by its worker."""

    run_id: UUID
    reason: str


class ResumeRun(Act[None]):
    """Let an interrupted run go on from its newest checkpoint."""

    run_id: UUID


class RerunRun(Act[Started]):
    """Repeat a run as a new one: same method, data, seed, and options as they were then."""

    run_id: UUID


class Backends(Act[Sequence[Backend]]):
    """The backends of this installation, the one to suggest first."""
