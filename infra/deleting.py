"""What a deletion would affect, for whoever is about to delete."""

from contextlib import suppress
from typing import TYPE_CHECKING

from domain.errors import Unreachable
from domain.runs.training_run import RunStatus

if TYPE_CHECKING:
    from infra.wiring import Installation

_MOST = 10_000


def affected_by_deleting(tmm: "Installation", name: str) -> str:
    """What becomes of a method's runs when it is deleted. Raises `MethodNotFound`."""
    spec = tmm.catalogue.method(name).spec
    waiting = len(tmm.trainings.all(method=name, status=RunStatus.REQUESTED, limit=_MOST))
    running = len(tmm.trainings.all(method=name, status=RunStatus.RUNNING, limit=_MOST))
    told = (
        f"Deleting {spec.display_name} ({name}) takes it out of the list: it cannot be chosen any more. "
        f"Waiting: {_runs(waiting)}, to be cancelled. Running: {_runs(running)}, to go on."
    )
    with suppress(Unreachable):  # then nothing is scheduled that could start
        if scheduled := tmm.flow_runs.scheduled(name):
            told += f" Scheduled in Prefect, these included: {_runs(scheduled)}, to be cancelled; its schedules go too."
    return told


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count or 'no'} runs"
