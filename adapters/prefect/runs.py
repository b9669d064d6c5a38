"""Flow runs of the `train` deployments: created waiting, released once the request is recorded, followed, cancelled."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from adapters.prefect.client import prefect_client
from adapters.prefect.deployments import of_a_share
from adapters.prefect.forms import SHARE_TAG, TAG
from domain.catalogue.method_spec import Backend
from domain.errors import BackendUnavailable, RunNotFound
from domain.ports import Progressed
from domain.runs.flow_runs import Queue
from domain.runs.training_run import RunRequest
from domain.secrets import shown_address


class PrefectRuns:
    """Training runs as Prefect carries them; a flow run's id is the training run's id."""

    def __init__(self, api_url: str) -> None:
        self._api_url = api_url

    def create(
        self, request: RunRequest, *, queue: Queue = Queue.INTERACTIVE, idempotency_key: str | None = None
    ) -> UUID:
        """A flow run that no worker takes before it is released; from then on it waits in this queue.

        Raises `BackendUnavailable` when the backend has no worker or the method no deployment there.
        """
        from prefect.exceptions import ObjectNotFound
        from prefect.states import Pending

        with prefect_client(self._api_url) as client:
            self._must_have_a_worker(request)
            name = f"train/{request.method}-{request.backend}"
            try:
                deployment = client.read_deployment_by_name(name)
            except ObjectNotFound:
                raise BackendUnavailable(
                    f"Prefect has no deployment {name} yet. "
                    f"Start a worker for it with: tmm worker --backend {request.backend}"
                ) from None
            parameters = request.model_dump(mode="json", exclude_none=True)
            return client.create_flow_run_from_deployment(
                deployment.id,
                parameters=parameters,
                state=Pending(),
                idempotency_key=idempotency_key,
                work_queue_name=queue.value,
            ).id

    def ask_for_a_machine(self, backend: Backend, share: Mapping[str, Any]) -> UUID:
        """A flow run in which the next free worker of a backend takes part in another one's training."""
        from prefect.exceptions import ObjectNotFound

        wanted = of_a_share(backend)
        with prefect_client(self._api_url) as client:
            try:
                present = client.read_deployment_by_name(wanted.address)
            except ObjectNotFound:
                present = None
            deployment_id = wanted.put_into(client, client.create_flow_from_name(wanted.flow), present)
            return client.create_flow_run_from_deployment(deployment_id, parameters=dict(share), tags=[SHARE_TAG]).id

    def release(self, run_id: UUID) -> None:
        from prefect.states import Scheduled

        with prefect_client(self._api_url) as client:
            client.set_flow_run_state(run_id, Scheduled())

    def take_again(self, run_id: UUID) -> None:
        """Let a worker take an ended run once more, with the same id. Raises `RunNotFound`."""
        from prefect.exceptions import ObjectNotFound
        from prefect.states import AwaitingRetry

        with prefect_client(self._api_url) as client:
            try:
                client.set_flow_run_state(run_id, AwaitingRetry(), force=True)
            except ObjectNotFound:
                raise RunNotFound(run_id) from None

    def cancel(self, run_id: UUID, reason: str) -> None:
        """Cancel what waits at once; ask the worker to stop what runs."""
        from prefect.exceptions import ObjectNotFound
        from prefect.states import Cancelled, Cancelling

        with prefect_client(self._api_url) as client:
            try:
                state = client.read_flow_run(run_id).state
            except ObjectNotFound:
                raise RunNotFound(run_id) from None
            if state is not None and state.is_final():
                return
            under_way = state is not None and (state.is_running() or state.is_cancelling())
            client.set_flow_run_state(run_id, Cancelling(message=reason) if under_way else Cancelled(message=reason))

    def state(self, run_id: UUID) -> str:
        """Prefect's word for where the flow run stands: Pending, Scheduled, Running, Completed, Failed, …"""
        from prefect.exceptions import ObjectNotFound

        with prefect_client(self._api_url) as client:
            try:
                state = client.read_flow_run(run_id).state
            except ObjectNotFound:
                raise RunNotFound(run_id) from None
            return state.name or state.type.value.title() if state is not None else "Pending"

    def progress(self, run_id: UUID) -> Progressed | None:
        """How far the run has come, as its worker last told."""
        with prefect_client(self._api_url) as client:
            # Not with the client's own method, which insists on filters for runs and tasks as well.
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
        return Progressed(share=float(told["data"]) / 100, line=told["description"] or "") if told else None

    def log(self, run_id: UUID, *, limit: int) -> list[str]:
        """The newest lines of the run's log, the oldest of them first."""
        with prefect_client(self._api_url) as client:
            logs = {"flow_run_id": {"any_": [str(run_id)]}}
            response = client.request(
                "POST", "/logs/filter", json={"logs": logs, "sort": "TIMESTAMP_DESC", "limit": limit}
            )
        return [line["message"] for line in response.json()[::-1]]

    def address(self, run_id: UUID) -> str:
        """Where a person sees the run in the Prefect UI."""
        return f"{shown_address(self._api_url).removesuffix('/api')}/runs/flow-run/{run_id}"

    def scheduled(self, method: str) -> int:
        """How many runs of the method wait in Prefect for their time or for a worker, requested here or not."""
        with prefect_client(self._api_url) as client:
            response = client.request(
                "POST",
                "/flow_runs/count",
                json={
                    "flow_runs": {
                        "tags": {"all_": [TAG]},
                        "state": {"type": {"any_": ["SCHEDULED", "PENDING"]}},
                    },
                    "deployments": {"name": {"any_": [f"{method}-{backend}" for backend in Backend]}},
                },
            )
        return int(response.json())

    def has_worker(self, backend: Backend, name: str | None = None) -> bool:
        """Whether a worker serves the backend: any, or the one with this name."""
        from prefect.client.schemas.objects import WorkerStatus
        from prefect.exceptions import ObjectNotFound

        with prefect_client(self._api_url) as client:
            try:
                workers = client.read_workers_for_work_pool(backend.value, limit=200, offset=0)
            except ObjectNotFound:
                return False
        return any(worker.status is WorkerStatus.ONLINE and name in (None, worker.name) for worker in workers)

    def _must_have_a_worker(self, request: RunRequest) -> None:
        if not self.has_worker(request.backend):
            raise BackendUnavailable(
                f"No worker serves the {request.backend} pool. Start one with: tmm worker --backend {request.backend}"
            )
