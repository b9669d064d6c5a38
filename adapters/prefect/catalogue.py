"""The Prefect catalogue: a projection of the selectable list, reconciled idempotently and allowed to lag.

Each selectable method has one deployment for each of its backends, on that backend's work pool. What carries our tag
and is not selectable goes, after its waiting flow runs were cancelled with the reason; nothing else is touched.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

from adapters.prefect import forms
from adapters.prefect.client import prefect_client
from domain.method_spec import Backend
from domain.read_models import SelectableMethod

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

CATALOGUE_QUEUE = "catalogue"
"""Adding and deleting wait in a queue of their own, never behind a training."""

MANAGEMENT_TAG = "catalogue"

ENGINE = "python -m prefect.engine"


class PrefectCatalogue:
    """Keeps Prefect's pools and deployments in step with the selectable list."""

    def __init__(
        self, api_url: str, *, datasets: Sequence[str], base_models: Sequence[str], trainers: Sequence[str]
    ) -> None:
        self._api_url = api_url
        self._datasets = list(datasets)
        self._base_models = list(base_models)
        self._trainers = list(trainers)

    def ensure_pools(self, backends: Iterable[Backend]) -> None:
        """A process work pool for each backend: trainings run one at a time, the catalogue's flows beside them."""
        with prefect_client(self._api_url) as client:
            for backend in backends:
                _ensure_pool(client, backend)

    def reconcile(self, selectable: Sequence[SelectableMethod]) -> None:
        """Make the deployments exactly the selectable methods. Raises `PrefectUnavailable`."""
        with prefect_client(self._api_url) as client:
            pools = {pool.name for pool in client.read_work_pools(limit=200)}
            wanted = [
                (method, backend) for method in selectable for backend in method.spec.backends if backend in pools
            ]
            train = client.create_flow_from_name("train")
            kept = {self._deploy(client, train, method, backend) for method, backend in wanted}
            self._deploy_management(client, selectable, [backend for backend in Backend if backend in pools])
            for deployment in _ours(client):
                if deployment.id not in kept:
                    _withdraw(client, deployment)

    def _deploy(self, client: "SyncPrefectClient", flow_id: UUID, method: SelectableMethod, backend: Backend) -> UUID:
        # The same flow and name again is an update in place: the id, its runs and its schedules stay.
        return client.create_deployment(
            flow_id=flow_id,
            name=forms.deployment_name(method, backend),
            version=str(method.version),
            description=forms.description(method, backend),
            tags=forms.tags(method, backend),
            parameters=forms.default_parameters(method, backend),
            parameter_openapi_schema=forms.run_form(
                method, backend, datasets=self._datasets, base_models=self._base_models
            ),
            enforce_parameter_schema=True,
            entrypoint="flows.train.train",
            work_pool_name=backend.value,
            work_queue_name="default",
        )

    def _deploy_management(
        self, client: "SyncPrefectClient", selectable: Sequence[SelectableMethod], backends: Sequence[Backend]
    ) -> None:
        if not backends:
            return
        names = [method.spec.internal_name for method in selectable]
        for verb, form in (("add", forms.add_form(names, self._trainers)), ("delete", forms.delete_form(names))):
            name = f"{verb}-training-method"
            client.create_deployment(
                flow_id=client.create_flow_from_name(name),
                name=name,
                description=f"{verb.title()} a training method. For commercial users only.",
                tags=[MANAGEMENT_TAG],
                parameter_openapi_schema=form,
                enforce_parameter_schema=True,
                entrypoint=f"flows.manage.{name.replace('-', '_')}",
                work_pool_name=backends[0].value,
                work_queue_name=CATALOGUE_QUEUE,
            )


def _ensure_pool(client: "SyncPrefectClient", backend: Backend) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    # The worker then starts the engine at once, instead of an interpreter that starts it: a second for each run.
    template["variables"]["properties"]["command"]["default"] = ENGINE
    # It may have been made before, or by another worker at this same moment; what people changed in it is theirs.
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(
            WorkPoolCreate(
                name=backend.value,
                type="process",
                description=f"Runs trainings on {backend}",
                base_job_template=template,
            )
        )
    default = client.read_work_queue_by_name("default", work_pool_name=backend.value)
    if default.concurrency_limit is None:
        client.update_work_queue(default.id, concurrency_limit=1)
    with suppress(ObjectAlreadyExists):
        client.create_work_queue(name=CATALOGUE_QUEUE, work_pool_name=backend.value)


def _ours(client: "SyncPrefectClient") -> "Iterable[DeploymentResponse]":
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
    from prefect.client.schemas.sorting import DeploymentSort

    page = 200
    found: list[DeploymentResponse] = []
    while True:
        ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[forms.TAG]))
        more = client.read_deployments(
            deployment_filter=ours, limit=page, offset=len(found), sort=DeploymentSort.NAME_ASC
        )
        found += more
        if len(more) < page:
            return found


def _withdraw(client: "SyncPrefectClient", deployment: "DeploymentResponse") -> None:
    """Cancel what waits, so that it is seen to be cancelled, then let the deployment go; a running run finishes."""
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterId,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Cancelled

    waiting = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING]))
    )
    this = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
    reason = f"The training method of {deployment.name} was deleted before the run started."
    while runs := client.read_flow_runs(
        deployment_filter=this, flow_run_filter=waiting, limit=200, sort=FlowRunSort.START_TIME_ASC
    ):
        for run in runs:
            client.set_flow_run_state(run.id, Cancelled(message=reason), force=True)
    with suppress(ObjectNotFound):  # another reconciler may have been faster
        client.delete_deployment(deployment.id)
