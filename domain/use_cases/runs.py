"""The acts of whoever looks at trainings: list them, find one, see how it goes or went."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol
from uuid import UUID

from pydantic import Field

from domain.audit.read_models import Run
from domain.errors import InvalidRunRequest, NotFound, RunNotFound, Unreachable
from domain.people.users import User
from domain.ports import Progressed
from domain.runs.flow_runs import ENDED_STATES, FlowRuns
from domain.runs.training_run import RunStatus
from domain.runs.training_runs import TrainingRuns
from domain.use_cases.act import Act
from domain.values import Value

RUNS_AT_MOST = 10_000
LOG_LINES = 40
SHORTEST_PREFIX = 4
"""Characters of an id that name a run."""


class RunsQuery(Value):
    """Which runs to list, the newest first; a page goes on behind the run `after`."""

    method: str | None = None
    method_version: int | None = None
    status: RunStatus | None = None
    requested_by: str | None = None
    interrupted: bool = False
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


class Stands(Value):
    """Where a run's flow run stands, in Prefect's word, and how far its training has come."""

    state: str
    has_ended: bool
    progress: Progressed | None
    address: str


class ListRuns(Act[RunsPage]):
    """Training runs, the newest first."""

    query: RunsQuery = RunsQuery()


class FindRun(Act[Run]):
    """The run with this id, or the only one whose id begins so.

    One that a program made in Prefect this very moment is requested then. Raises `RunNotFound`, or `InvalidRunRequest`
    for too short a beginning or one that several runs share.
    """

    named: str


class ShowRun(Act[ShownRun]):
    """One run. `in_full` adds what only a finished one has, and what takes longer to fetch."""

    run_id: UUID
    in_full: bool = True


class WhereRunStands(Act[Stands]):
    """Where its flow run stands. Raises `PrefectUnavailable`, and `RunNotFound` where Prefect knows it no more."""

    run_id: UUID


class KeptOfRuns(Protocol):
    """What is kept of how runs went."""

    def steps_of(self, run: Run) -> Sequence[Mapping[str, float]]:
        """`step` and the metrics of every step that a run has reported; none where nothing is kept any more."""
        ...

    def answers_of(self, run: Run) -> Sequence[Mapping[str, Any]]:
        """The sample answers that were given before and after a completed run."""
        ...

    def files_of(self, run: Run) -> Sequence[tuple[str, int]]:
        """The files of its artefact on this machine, with their sizes in bytes."""
        ...

    def progress_of(self, run: Run) -> Progressed | None:
        """How far a run that is carried on this machine has come; None for any other."""
        ...


class Runs:
    """Does these acts. Much can be seen without Prefect, which is asked for when it is needed.

    `note_waiting` records the request of a run that waits in Prefect, if nobody has recorded it yet.
    """

    def __init__(
        self,
        runs: TrainingRuns,
        kept: KeptOfRuns,
        *,
        flow_runs: Callable[[], FlowRuns],
        note_waiting: Callable[[UUID], None],
    ) -> None:
        self._runs = runs
        self._kept = kept
        self._flow_runs = flow_runs
        self._note_waiting = note_waiting

    def all(self, act: ListRuns, _: User, __: UUID | None = None) -> RunsPage:
        """Training runs, the newest first."""
        query = act.query
        found = self._runs.all(**{**dict(query), "limit": query.limit + 1})
        runs = tuple(found[: query.limit])
        return RunsPage(runs=runs, next_after=runs[-1].run_id if len(found) > query.limit else None)

    def find(self, act: FindRun, _: User, __: UUID | None = None) -> Run:
        """The run with this id, or the only one whose id begins so."""
        try:
            return self._named(act.named)
        except RunNotFound:
            with suppress(ValueError, Unreachable, RunNotFound):  # a beginning, nobody to ask, no run there
                self._note_waiting(UUID(act.named))
                return self._named(act.named)
            raise

    def _named(self, text: str) -> Run:
        with suppress(ValueError):
            return self._runs.one(UUID(text))
        beginning = text.lower()
        if len(beginning) < SHORTEST_PREFIX:
            raise InvalidRunRequest(
                f"{text!r} is too short for a run: give at least {SHORTEST_PREFIX} characters of its id."
            )
        fitting = [run for run in self._runs.all(limit=RUNS_AT_MOST) if str(run.run_id).startswith(beginning)]
        if not fitting:
            raise RunNotFound(text)
        if len(fitting) > 1:
            some = ", ".join(str(run.run_id) for run in fitting[:3])
            raise InvalidRunRequest(
                f"{len(fitting)} runs begin with {text!r}, among them {some}: give more characters."
            )
        return fitting[0]

    def show(self, act: ShowRun, _: User, __: UUID | None = None) -> ShownRun:
        """One run, as far as can be told."""
        run = self._runs.one(act.run_id)
        shown: dict[str, Any] = {"run": run, "steps": tuple(self._kept.steps_of(run))}
        if run.status is RunStatus.RUNNING and (progress := self._kept.progress_of(run)) is not None:
            shown["progress"] = progress
        with suppress(Unreachable, NotFound):
            flow_runs = self._flow_runs()
            if run.status is RunStatus.RUNNING and "progress" not in shown:
                shown["progress"] = flow_runs.progress(run.run_id)
            if act.in_full:
                shown["address"] = flow_runs.address(run.run_id)
            if act.in_full or run.finished_at is None:
                shown["log"] = tuple(flow_runs.log(run.run_id, limit=LOG_LINES))
        if act.in_full:
            shown |= {"answers": tuple(self._kept.answers_of(run)), "files": tuple(self._kept.files_of(run))}
        return ShownRun(**shown)

    def stands(self, act: WhereRunStands, _: User, __: UUID | None = None) -> Stands:
        """Where its flow run stands."""
        flow_runs = self._flow_runs()
        state = flow_runs.state(act.run_id)
        ended = state in ENDED_STATES
        return Stands(
            state=state,
            has_ended=ended,
            progress=None if ended else flow_runs.progress(act.run_id),
            address=flow_runs.address(act.run_id),
        )
