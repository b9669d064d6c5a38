"""`take-part`: computes a share of a training that several machines do together; the machine that leads starts it."""

from typing import Any
from uuid import UUID

from prefect import flow
from prefect.client.schemas.objects import State

from adapters.prefect.progress import ToldToPrefect
from adapters.shared.training.curve import curve_svg
from domain.bounded import shown
from domain.errors import RunNotFound
from domain.training import Meeting
from flows.acting import ending_in_words, installation_of_this_run, this_run
from infra.trainings import several_machines


@flow(name="take-part", flow_run_name="share of {run_id}", validate_parameters=False)
@ending_in_words
def take_part(
    run_id: str, attempt: int, machine: int, machines: int, address: str, port: int, checkpoint: str = "", step: int = 0
) -> State[Any] | None:
    """Take part in a training."""
    told = ToldToPrefect(this_run(), title=f"A share of {shown(run_id)}", draw=curve_svg)
    with installation_of_this_run() as installation, told:
        meeting = Meeting(address=address, port=port, machines=machines, machine=machine)
        several_machines.take_part(installation, _id(run_id), meeting, checkpoint, step, attempt=attempt, watcher=told)
    return None


def _id(run_id: object) -> UUID:
    try:
        return UUID(run_id if isinstance(run_id, str) else "")
    except ValueError:
        raise RunNotFound(shown(run_id)) from None
