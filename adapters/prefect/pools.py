"""The work pools: one for each backend, with queues of three priorities.

Whether they are paused, how much runs at once, and their queues, is for people to decide; the rest of them is ours.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from adapters.prefect.client import prefect_client
from adapters.prefect.deployments import CATALOGUE_QUEUE
from domain.catalogue.method_spec import Backend
from domain.errors import NotFound
from domain.ports import PoolQueue, WorkPool
from domain.runs.flow_runs import Queue

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import WorkQueue

_TYPE = "process"

# Our own worker takes nothing from here. This is for people, who are offered what it takes, and for Prefect's own
# worker, should somebody start one: no environment, command or folder of a run's own reaches it either.
_TEMPLATE: dict[str, Any] = {
    "job_configuration": {"command": "python -m prefect.engine", "stream_output": "{{ stream_output }}"},
    "variables": {
        "type": "object",
        "properties": {
            "stream_output": {
                "title": "Stream Output",
                "type": "boolean",
                "default": True,
                "description": "Show in the worker's log what the run prints",
            }
        },
        "additionalProperties": False,
    },
}

QUEUES = {
    CATALOGUE_QUEUE: "Adding and deleting methods, and what keeps Prefect in step. Never behind a training",
    Queue.INTERACTIVE: "Trainings that somebody waits for",
    Queue.BATCH: "Trainings that may wait: taken when nothing interactive is there",
}
"""A pool's queues in the order in which they are served, with what they are for."""


class PrefectPools:
    """Makes the pools and their queues, shows them, and pauses and resumes them. Raises `PrefectUnavailable`."""

    def __init__(self, api_url: str) -> None:
        self._api_url = api_url

    def ensure(self, backends: Iterable[Backend]) -> None:
        """A pool for each backend with all its queues; what people decide of those that are there stays as it is."""
        with prefect_client(self._api_url) as client:
            for backend in backends:
                _ensure_pool(client, backend)
                there = {queue.name for queue in _queues(client, backend.value)}
                for place, (queue, purpose) in enumerate(QUEUES.items(), start=1):
                    if queue not in there:
                        _create_queue(client, backend, queue, purpose, priority=place)

    def all(self) -> list[WorkPool]:
        """The backends' pools as they are now, with their queues in the order in which they are served."""
        with prefect_client(self._api_url) as client:
            ours = [backend.value for backend in Backend]
            pools = {pool.name: pool for pool in client.read_work_pools(limit=200) if pool.name in ours}
            return [
                WorkPool(
                    name=name,
                    paused=pools[name].is_paused,
                    workers=_workers(client, name),
                    queues=[
                        PoolQueue(
                            name=queue.name,
                            priority=queue.priority,
                            paused=queue.is_paused,
                            waiting=_count(client, name, queue.name, ["SCHEDULED"]),
                            running=_count(client, name, queue.name, ["PENDING", "RUNNING", "CANCELLING"]),
                        )
                        for queue in sorted(_queues(client, name), key=lambda queue: queue.priority)
                    ],
                )
                for name in ours
                if name in pools
            ]

    def is_paused(self, backend: Backend, queue: str | None = None) -> bool:
        """Whether nothing is taken from a pool, or from one of its queues, at present."""
        with prefect_client(self._api_url) as client:
            if queue is None:
                return client.read_work_pool(backend.value).is_paused
            return client.read_work_queue_by_name(queue, work_pool_name=backend.value).is_paused

    def pause(self, backend: Backend, queue: str | None = None, *, paused: bool = True) -> None:
        """Let no further run of the pool, or of one of its queues, be taken; or let them be taken again.

        What runs goes on. Raises `NotFound`.
        """
        from prefect.client.schemas.actions import WorkPoolUpdate
        from prefect.exceptions import ObjectNotFound

        with prefect_client(self._api_url) as client:
            try:
                if queue is None:
                    client.update_work_pool(backend.value, WorkPoolUpdate(is_paused=paused))
                else:
                    found = client.read_work_queue_by_name(queue, work_pool_name=backend.value)
                    client.update_work_queue(found.id, is_paused=paused)
            except ObjectNotFound:
                what = f"The {backend} pool has no queue {queue!r}" if queue else f"There is no {backend} pool yet"
                raise NotFound(f"{what}. List them with: tmm pools") from None


def _ensure_pool(client: "SyncPrefectClient", backend: Backend) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.client.schemas.objects import WorkPoolStorageConfiguration
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    ours: dict[str, Any] = {
        "description": f"Runs trainings on {backend}, one at a time in each worker",
        "base_job_template": _TEMPLATE,
        "storage_configuration": WorkPoolStorageConfiguration(),
    }
    decided: dict[str, Any] = {}
    with suppress(ObjectNotFound):
        there = client.read_work_pool(backend.value)
        if there.type == _TYPE:
            if any(getattr(there, field) != value for field, value in ours.items()):
                client.update_work_pool(backend.value, WorkPoolUpdate(**ours))
            return
        # Nobody can change a pool's type: somebody made another one in its place.
        decided = {"is_paused": there.is_paused, "concurrency_limit": there.concurrency_limit}
        client.delete_work_pool(backend.value)
    # It may have been made before, or by another worker at this same moment.
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=backend.value, type=_TYPE, **ours, **decided))


def _create_queue(client: "SyncPrefectClient", backend: Backend, queue: str, purpose: str, *, priority: int) -> None:
    from prefect.exceptions import ObjectAlreadyExists

    with suppress(ObjectAlreadyExists):
        client.create_work_queue(name=queue, description=purpose, priority=priority, work_pool_name=backend.value)


def _queues(client: "SyncPrefectClient", pool: str) -> "list[WorkQueue]":
    from prefect.client.schemas.objects import WorkQueue

    # Not with the client's own method, which sends fields that the server refuses.
    response = client.request(
        "POST", "/work_pools/{work_pool_name}/queues/filter", path_params={"work_pool_name": pool}, json={}
    )
    return [WorkQueue.model_validate(queue) for queue in response.json()]


def _workers(client: "SyncPrefectClient", pool: str) -> int:
    """How many workers take trainings there now."""
    from prefect.client.schemas.objects import WorkerStatus

    found = client.read_workers_for_work_pool(pool, limit=200, offset=0)
    return sum(
        worker.status is WorkerStatus.ONLINE and not worker.name.endswith(f"-{CATALOGUE_QUEUE}") for worker in found
    )


def _count(client: "SyncPrefectClient", pool: str, queue: str, states: list[str]) -> int:
    """The runs in these states whose time has come; those that a schedule starts later are not there yet."""
    # Not with a method of the client, which has none for counting.
    response = client.request(
        "POST",
        "/flow_runs/count",
        json={
            "flow_runs": {
                "state": {"type": {"any_": states}},
                "expected_start_time": {"before_": datetime.now(UTC).isoformat()},
            },
            "work_pools": {"name": {"any_": [pool]}},
            "work_pool_queues": {"name": {"any_": [queue]}},
        },
    )
    return int(response.json())
