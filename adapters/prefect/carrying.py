"""How Prefect carries runs at this moment, and putting it right where it differs from the truth."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from adapters.prefect.client import prefect_client
from adapters.prefect.forms import SHARE_TAG, TAG
from domain.runs.flow_runs import Carried, CarriedAs, Waiting

if TYPE_CHECKING:
    from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
    from prefect.client.schemas.objects import FlowRun, State

_PAGE = 200


class PrefectCarrying:
    """Reads and forces the states of our flow runs. Every method raises `PrefectUnavailable`."""

    def __init__(self, api_url: str) -> None:
        self._api_url = api_url

    def carried(self, run_ids: Collection[UUID]) -> dict[UUID, Carried]:
        """These runs as Prefect shows them; those that it does not know are left out."""
        from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

        ids = list(run_ids)
        found: list[Carried] = []
        for begin in range(0, len(ids), _PAGE):
            found += self._read(FlowRunFilter(id=FlowRunFilterId(any_=ids[begin : begin + _PAGE])))
        return {run.run_id: run for run in found}

    def under_way(self) -> list[Carried]:
        """All our runs that a worker has, or seems to have, and what machines do for the trainings of others."""
        from prefect.client.schemas.filters import (
            FlowRunFilter,
            FlowRunFilterState,
            FlowRunFilterStateType,
            FlowRunFilterTags,
        )
        from prefect.client.schemas.objects import StateType

        types = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
        return self._read(
            FlowRunFilter(
                tags=FlowRunFilterTags(any_=[TAG, SHARE_TAG]),
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types)),
            )
        )

    def waiting(self, run_id: UUID | None = None) -> list[Waiting]:
        """Trainings that a worker is to take now and has not taken yet: all, or the one with this id."""
        from prefect.client.schemas.filters import (
            FlowFilter,
            FlowFilterName,
            FlowRunFilter,
            FlowRunFilterId,
            FlowRunFilterNextScheduledStartTime,
            FlowRunFilterState,
            FlowRunFilterStateType,
            FlowRunFilterTags,
        )
        from prefect.client.schemas.objects import StateType

        runs = self._runs(
            FlowRunFilter(
                id=FlowRunFilterId(any_=[run_id]) if run_id is not None else None,
                tags=FlowRunFilterTags(all_=[TAG]),
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
                next_scheduled_start_time=FlowRunFilterNextScheduledStartTime(before_=datetime.now(UTC)),
            ),
            FlowFilter(name=FlowFilterName(any_=["train"])),
        )
        return [Waiting(run_id=run.id, parameters=run.parameters) for run in runs]

    def last_sign_of_life(self, run_id: UUID) -> datetime | None:
        """When the run's process last told of itself, by Prefect's clock; None if it never did."""
        with prefect_client(self._api_url) as client:
            response = client.request(
                "POST",
                "/artifacts/filter",
                json={
                    "artifacts": {"flow_run_id": {"any_": [str(run_id)]}, "type": {"any_": ["progress"]}},
                    "sort": "UPDATED_DESC",
                    "limit": 1,
                },
            )
        told = next(iter(response.json()), None)
        return datetime.fromisoformat(told["updated"]) if told else None

    def end(self, run_id: UUID, as_: CarriedAs, message: str) -> None:
        """Let Prefect show this end, whatever it shows now; the run's concurrency slot is free then."""
        self._force(run_id, _state(as_, message))

    def let_be_taken(self, run_id: UUID) -> None:
        """Let a worker take the run again: the one that had it is gone, and nothing was done yet."""
        from prefect.states import Scheduled

        self._force(run_id, Scheduled(message="The worker that had taken it is gone."))

    def _force(self, run_id: UUID, state: "State") -> None:
        from prefect.exceptions import ObjectNotFound

        with prefect_client(self._api_url) as client:
            try:
                client.set_flow_run_state(run_id, state, force=True)
            except ObjectNotFound:
                return  # Prefect has forgotten it meanwhile

    def _read(self, runs: "FlowRunFilter") -> list[Carried]:
        return list(_as_carried(self._runs(runs)))

    def _runs(self, runs: "FlowRunFilter", flows: "FlowFilter | None" = None) -> "list[FlowRun]":
        from prefect.client.schemas.sorting import FlowRunSort

        with prefect_client(self._api_url) as client:
            found: list[FlowRun] = []
            while True:
                more = client.read_flow_runs(
                    flow_filter=flows, flow_run_filter=runs, limit=_PAGE, offset=len(found), sort=FlowRunSort.ID_DESC
                )
                found += more
                if len(more) < _PAGE:
                    return found


def _as_carried(runs: "Iterable[FlowRun]") -> Iterable[Carried]:
    for run in runs:
        state = run.state
        if state is not None:
            yield Carried(
                run_id=run.id,
                as_=CarriedAs(state.type.value.lower()),
                name=state.name or "",
                message=state.message or "",
                since=state.timestamp,
                attempt=run.run_count,
            )


def _state(as_: CarriedAs, message: str) -> "State":
    from prefect.states import Cancelled, Completed, Crashed, Failed

    make = {
        CarriedAs.COMPLETED: Completed,
        CarriedAs.FAILED: Failed,
        CarriedAs.CRASHED: Crashed,
        CarriedAs.CANCELLED: Cancelled,
    }[as_]
    return make(message=message)
