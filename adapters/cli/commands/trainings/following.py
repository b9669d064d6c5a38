"""Following a run until it ends: a progress bar on a terminal, a line every few seconds anywhere else."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol
from uuid import UUID

import click

from adapters.cli.context import Context
from adapters.cli.errors import INTERRUPTED, TrainingFailed
from adapters.cli.output import progress_bar, remark
from domain.audit.read_models import Run
from domain.errors import PrefectUnavailable
from domain.runs.training_run import RunStatus
from domain.use_cases.runs import FindRun, WhereRunStands

LOOK_EVERY = 0.5
ASK_PREFECT_EVERY = 1.0
LINE_EVERY = 5.0
PATIENCE = 30.0
"""Seconds that Prefect may be unreachable, or know of an end that was not recorded, before following is given up."""


class Display(Protocol):
    """Where the way of a run is shown."""

    def show(self, share: float | None, line: str) -> None:
        """`share` is what is done, from 0 to 1, or None while nothing is known of it."""
        ...


def follow(tmm: Context, run_id: UUID, *, ended_before: datetime | None = None) -> Run:
    """Show how the run goes on until it has ended; the run. Ctrl-C leaves the run alone.

    `ended_before` is when a run that is resumed had ended, which does not count.

    Raises `PrefectUnavailable` when Prefect stays away, `TrainingFailed` when the run is gone without a recorded end.
    """
    try:
        return follow_to_the_end(tmm, run_id, ended_before=ended_before)
    except KeyboardInterrupt:
        remark()
        remark(f"The training goes on. See it with: tmm runs show {run_id}, or stop it with: tmm cancel {run_id}")
        raise click.exceptions.Exit(INTERRUPTED) from None


def follow_to_the_end(
    tmm: Context,
    run_id: UUID,
    *,
    meanwhile: Callable[[], None] = lambda: None,
    ended_before: datetime | None = None,
) -> Run:
    """Show how the run goes on until it has ended; the run. `meanwhile` is called at every look, and may raise."""
    with _display() as display:
        return _Follower(tmm, run_id, display, meanwhile, ended_before).to_the_end()


class _Follower:
    def __init__(
        self,
        tmm: Context,
        run_id: UUID,
        display: Display,
        meanwhile: Callable[[], None],
        ended_before: datetime | None,
    ) -> None:
        self._ended_before = ended_before
        self._tmm, self._user = tmm, tmm.user()
        self._run_id = run_id
        self._display = display
        self._meanwhile = meanwhile
        self._asked = 0.0
        self._fine_until: float | None = None

    def to_the_end(self) -> Run:
        while True:
            run = self._tmm.do(FindRun(named=str(self._run_id)), by=self._user)
            if run.finished_at not in (None, self._ended_before):
                return run
            if time.monotonic() - self._asked >= ASK_PREFECT_EVERY:
                self._ask_prefect(run)
                self._asked = time.monotonic()
            self._meanwhile()
            time.sleep(LOOK_EVERY)

    def _ask_prefect(self, run: Run) -> None:
        try:
            stands = self._tmm.do(WhereRunStands(run_id=self._run_id), by=self._user)
        except PrefectUnavailable as error:
            self._lose_patience(
                PrefectUnavailable(f"{error} The training may still go on; see: tmm runs show {self._run_id}")
            )
            return
        if stands.has_ended:
            # Its end is recorded by a hook in another process, a moment later.
            self._lose_patience(
                TrainingFailed(
                    f"Prefect shows the flow run {self._run_id} as {stands.state}, but no end of the training "
                    f"was recorded. See {stands.address}"
                )
            )
            return
        self._fine_until = None
        if run.status is RunStatus.RUNNING and stands.progress is not None:
            self._display.show(stands.progress.share, stands.progress.line)
        elif run.status is RunStatus.RUNNING:
            self._display.show(None, "the training is about to begin")
        else:
            self._display.show(None, f"waiting for a {run.request.backend} worker ({stands.state.lower()})")

    def _lose_patience(self, error: Exception) -> None:
        now = time.monotonic()
        if self._fine_until is None:
            self._fine_until = now
        elif now - self._fine_until > PATIENCE:
            raise error


class _Lines:
    """A line every few seconds, where nobody watches a bar."""

    def __init__(self) -> None:
        self._last = ""
        self._shown = -LINE_EVERY

    def show(self, share: float | None, line: str) -> None:
        now = time.monotonic()
        if line != self._last and now - self._shown >= LINE_EVERY:
            self._last, self._shown = line, now
            remark(line)


@contextmanager
def _display() -> Iterator[Display]:
    with progress_bar() as bar:
        yield bar or _Lines()
