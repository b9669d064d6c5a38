"""Brings the event store, Prefect and the processes of this machine together where something died in between."""

import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from adapters.machines.run_process import carrier_of
from domain.audit.read_models import Run
from domain.errors import EventUnreadable, RunAlreadyFinished, RunNotFound
from domain.runs.flow_runs import Carried, CarriedAs, Fix, fix_for
from domain.runs.training_run import RunStatus
from infra.trainings.waiting_runs import WaitingRuns

if TYPE_CHECKING:
    from infra.wiring import Installation

_RECENT = timedelta(hours=1)
_NEWEST = 200
_ALL = 10_000
_SILENT_FOR_S = 35.0
"""A run's process tells of itself every ten seconds; one that was not heard for so long is gone."""
_LISTENS_IF_LOOKED_WITHIN_S = 25.0
"""Between looks that lie farther apart, Prefect was away for us, and so it may have been for the run's process."""


class _Heard(NamedTuple):
    """What a run's process told last, since when we hear nothing newer, and when we looked (monotonic seconds)."""

    told: tuple[int, datetime]
    since: float
    looked_at: float


class Reconciler:
    """Looks at every run that has not come to one end on all sides, and ends the difference where nobody else will.

    Any number of reconcilers may look at the same time: the event store takes one end of a run only. Keep one for as
    long as a process lives: whether a process elsewhere is gone is told by silence, and silence while Prefect was away
    does not count.
    """

    def __init__(self, tmm: "Installation") -> None:
        self._tmm = tmm
        self._heard: dict[UUID, _Heard] = {}
        self._waiting = WaitingRuns(tmm)

    def reconcile(self, *, alone: bool = False) -> list[str]:
        """Put right what needs it; a sentence about each. Raises `PrefectUnavailable`, `DatabaseUnavailable`.

        `alone` says that nobody else can be carrying runs now: then nothing is given time to come right by itself.
        """
        now = datetime.now(UTC)
        runs = {run.run_id: run for run in self._of_interest(now)}
        carried = self._tmm.flow_run_states.carried(runs) | {
            run.run_id: run for run in self._tmm.flow_run_states.under_way()
        }
        done = [f"Run {run_id}: requested, and waits." for run_id in self._waiting.note(runs.keys() | carried.keys())]
        for run_id in runs.keys() | carried.keys():
            run = runs.get(run_id)
            if run is None:
                with suppress(RunNotFound):
                    run = self._tmm.trainings.one(run_id)
            shown = carried.get(run_id)
            lives = self._lives(run_id, run, shown, alone=alone)
            fix = fix_for(run, shown, lives=lives, now=now + timedelta(days=1) if alone else now)
            if fix is not None and self._carry_out(run_id, fix):
                done.append(f"Run {run_id}: {_in_words(fix)}")
        return done

    def _of_interest(self, now: datetime) -> Iterable[Run]:
        yield from self._tmm.trainings.all(status=RunStatus.REQUESTED, limit=_ALL)
        yield from self._tmm.trainings.all(status=RunStatus.RUNNING, limit=_ALL)
        for run in self._tmm.trainings.all(limit=_NEWEST):
            if run.finished_at is not None and now - run.finished_at < _RECENT:
                yield run

    def _lives(self, run_id: UUID, run: Run | None, shown: Carried | None, *, alone: bool) -> bool | None:
        carrier = carrier_of(self._folder(run_id))
        if carrier is not None and (shown is None or carrier.attempt >= shown.attempt):
            return carrier.lives  # one of an earlier attempt tells nothing of this one, which another machine may have
        if alone:
            return False
        if shown is None or shown.as_ not in (CarriedAs.RUNNING, CarriedAs.PAUSED, CarriedAs.CANCELLING):
            here = run is not None and run.provenance is not None and run.provenance.machine == socket.gethostname()
            return False if here else None
        return False if self._silent(shown) else None

    def _silent(self, shown: Carried) -> bool:
        """Whether the process was not heard for so long, while we were listening."""
        sign, now = self._tmm.flow_run_states.last_sign_of_life(shown.run_id) or shown.since, time.monotonic()
        told = (shown.attempt, sign)
        before = self._heard.get(shown.run_id)
        listened = before is not None and before.told == told and now - before.looked_at < _LISTENS_IF_LOOKED_WITHIN_S
        since = before.since if before is not None and listened else now
        self._heard[shown.run_id] = _Heard(told, since, now)
        return now - since > _SILENT_FOR_S

    def _carry_out(self, run_id: UUID, fix: Fix) -> bool:
        try:
            if fix.record is RunStatus.CANCELLED:
                # Not by whoever runs this: they have looked, and ended nothing.
                self._tmm.trainings.cancel(run_id, fix.reason, by=self._tmm.prefect_user(run_id))
            elif fix.record is RunStatus.FAILED:
                self._tmm.trainings.fail(run_id, fix.reason, interrupted=fix.interrupted)
        except (RunAlreadyFinished, EventUnreadable):
            return False  # somebody was faster; the next look shows Prefect what they recorded
        if fix.end_process and (carrier := carrier_of(self._folder(run_id))) is not None:
            # After the end is recorded: a process that is ended would record that it crashed.
            carrier.end()
        if fix.show is not None:
            self._tmm.flow_run_states.end(run_id, fix.show, fix.reason)
        if fix.take_again:
            self._tmm.flow_run_states.let_be_taken(run_id)
        return True

    def _folder(self, run_id: UUID) -> Path:
        return self._tmm.settings.runs / str(run_id)


def _in_words(fix: Fix) -> str:
    done = []
    if fix.record is not None:
        done.append(f"recorded as {'interrupted' if fix.interrupted else fix.record}")
    if fix.show is not None:
        done.append(f"shown as {fix.show} in Prefect")
    if fix.end_process and not done:
        done.append("its process was ended")
    if fix.take_again:
        done.append("waits for a worker again")
    return f"{', '.join(done)}. {fix.reason}"
