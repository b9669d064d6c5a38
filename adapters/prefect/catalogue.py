"""The Prefect catalogue: a projection of the selectable list, reconciled idempotently and allowed to lag.

Each selectable method has one deployment for each of its backends, on that backend's work pool. What somebody changed
of it is put back, but for what is the operator's. What carries our tag and is not selectable goes, after its waiting
flow runs were cancelled with the reason; nothing else is touched, nor started by our workers.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from adapters.prefect import forms
from adapters.prefect.client import prefect_client
from adapters.prefect.deployments import OUR_FLOWS, of_a_share, of_methods, of_the_catalogue
from domain.audit.read_models import SelectableMethod
from domain.catalogue.method_spec import Backend
from domain.catalogue.trainer_declaration import Trainers
from domain.secrets import shown_address

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse


class PrefectCatalogue:
    """Keeps Prefect's pools and deployments in step with the selectable list."""

    def __init__(
        self,
        api_url: str,
        *,
        datasets: Callable[[], list[str]],
        base_models: Callable[[], list[str]],
        trainers: Trainers,
    ) -> None:
        self._api_url = api_url
        self._datasets = datasets
        self._base_models = base_models
        self._trainers = trainers

    def addresses(self) -> dict[tuple[str, Backend], str]:
        """Where a person finds the run form of each method on each backend."""
        page = f"{shown_address(self._api_url).removesuffix('/api')}/deployments/deployment"
        with prefect_client(self._api_url) as client:
            found = {}
            for deployment in _there(client):
                if forms.TAG in deployment.tags:
                    method, backend = deployment.name.rsplit("-", maxsplit=1)
                    found[method, Backend(backend)] = f"{page}/{deployment.id}"
            return found

    def reconcile(self, selectable: Sequence[SelectableMethod]) -> list[str]:
        """Make the deployments exactly the selectable methods; a sentence about each change.

        Raises `PrefectUnavailable`.
        """
        with prefect_client(self._api_url) as client:
            pools = {pool.name for pool in client.read_work_pools(limit=200)}
            backends = [backend for backend in Backend if backend in pools]
            names = {"datasets": self._datasets(), "base_models": self._base_models()}
            wanted = [
                *of_methods(selectable, backends, **names),
                *of_the_catalogue(selectable, backends, trainers=self._trainers, **names),
            ]
            flows = {name: client.create_flow_from_name(name) for name in OUR_FLOWS}
            there = {(deployment.flow_id, deployment.name): deployment for deployment in _there(client)}
            shares = map(of_a_share, backends)
            wanted += [share for share in shares if (flows[share.flow], share.name) in there]
            changed, kept = [], set()
            for one in wanted:
                key = flows[one.flow], one.name
                kept.add(key)
                if key not in there or one.differs_from(there[key]):
                    one.put_into(client, flows[one.flow], there.get(key))
                    changed.append(f"Prefect shows {one.address} as it is now.")
            for key, deployment in there.items():
                # Somebody else's flow may have the same name as ours; only what carries our tag is ours.
                if key not in kept and forms.TAG in deployment.tags:
                    _withdraw(client, deployment)
                    changed.append(f"Prefect shows {deployment.name} no more.")
            return changed


def _there(client: "SyncPrefectClient") -> "Iterable[DeploymentResponse]":
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName
    from prefect.client.schemas.sorting import DeploymentSort

    page = 200
    found: list[DeploymentResponse] = []
    while True:
        ours = FlowFilter(name=FlowFilterName(any_=list(OUR_FLOWS)))
        more = client.read_deployments(flow_filter=ours, limit=page, offset=len(found), sort=DeploymentSort.NAME_ASC)
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
