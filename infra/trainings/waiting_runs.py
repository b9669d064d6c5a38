"""Trainings that programs ask Prefect for are requested here as soon as they wait, not only when a worker begins."""

from collections.abc import Collection
from typing import TYPE_CHECKING
from uuid import UUID

from domain.errors import DatabaseUnavailable, PrefectUnavailable, RunNotFound, TrainingMethodError
from domain.runs.flow_runs import Waiting
from domain.runs.training_run import RunRequest
from infra.acting_for import acting

if TYPE_CHECKING:
    from infra.wiring import Installation


class WaitingRuns:
    """Records the requests of runs that wait in Prefect and that nobody has recorded yet.

    Keep one for as long as a process lives: what cannot be requested is left to its flow, which says why, once.
    """

    def __init__(self, tmm: "Installation") -> None:
        self._tmm = tmm
        self._left: set[UUID] = set()

    def note(self, known: Collection[UUID]) -> list[UUID]:
        """The runs whose requests were recorded now. Raises `PrefectUnavailable`, `DatabaseUnavailable`."""
        waiting = [run for run in self._tmm.flow_run_states.waiting() if run.run_id not in known]
        return [run.run_id for run in waiting if run.run_id not in self._left and self._note(run)]

    def _note(self, run: Waiting) -> bool:
        try:
            return note(self._tmm, run)
        except (DatabaseUnavailable, PrefectUnavailable):
            raise
        except TrainingMethodError:
            self._left.add(run.run_id)
            return False


def note(tmm: "Installation", run: Waiting) -> bool:
    """Record the request of a waiting run, as its flow would when it begins; False where that was done before.

    Raises what makes the request impossible.
    """
    try:
        tmm.trainings.one(run.run_id)
        return False
    except RunNotFound:
        pass
    given = dict(run.parameters)
    token = given.pop("acting_for", "")
    with type(tmm)(tmm.settings, flow_run_id=run.run_id) as in_its_flow:
        if token:  # the refusal of one that does not hold is recorded once, by its flow
            tokens = in_its_flow.acting_tokens
            tokens.must_hold_now(tokens.signed(token), action="train")
        asker = acting(in_its_flow, token, action="train", given=given)
        tmm.trainings.request(run.run_id, RunRequest.parse(given), by=asker.user, token=asker.token)
    return True


def note_waiting(tmm: "Installation", run_id: UUID) -> None:
    """Record the request of a run that waits in Prefect, if it is one of ours that nobody has recorded yet."""
    for waiting in tmm.flow_run_states.waiting(run_id):
        note(tmm, waiting)
