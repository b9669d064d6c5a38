"""Whose flow runs our worker starts: those of the deployments that the catalogue made, as it made them."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adapters.prefect.deployments import OurFlow
from domain.printable import printable

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

TAKEN = "stream_output"
"""The one job variable that a run or its deployment may set: whether the worker's log shows what the run prints."""

_SHOWN = 200


def why_not_ours(
    flow: str, deployment: "DeploymentResponse | None", flow_run: "FlowRun", ours: Mapping[str, OurFlow]
) -> str | None:
    """What about a flow run is not this service's, as half a sentence; None when all of it is."""
    if deployment is None:
        return f"it is a run of the flow {_told(flow)} that belongs to no deployment"
    address = f"{_told(flow)}/{_told(deployment.name)}"
    known = ours.get(flow)
    if known is None or not re.fullmatch(known.deployed_as, deployment.name) or deployment.flow_id != flow_run.flow_id:
        return f"the catalogue has no deployment {address}"
    of_its_own = {
        "an entrypoint": deployment.entrypoint != known.entrypoint,
        "a path": deployment.path,
        "pull steps": deployment.pull_steps,
        "storage": deployment.storage_document_id,
        "infrastructure": deployment.infrastructure_document_id,
    }
    if theirs := [what for what, there in of_its_own.items() if there]:
        return f"the deployment {address} has {' and '.join(theirs)} of its own"
    if variables := _not_taken(deployment.job_variables) | _not_taken(flow_run.job_variables):
        return f"it or its deployment sets {_told(', '.join(sorted(variables)))}, where only {TAKEN} is taken"
    return None


def streams_output(deployment: "DeploymentResponse | None", flow_run: "FlowRun") -> bool:
    """Whether the worker's log shows what the run prints: as the run says, else its deployment; by default it does."""
    theirs = {**((deployment and deployment.job_variables) or {}), **(flow_run.job_variables or {})}
    return theirs.get(TAKEN) is not False


def subject(flow: str, deployment: "DeploymentResponse | None", ours: Mapping[str, OurFlow]) -> str:
    """What the audit log says was to be started: a method where it can be told, else an address in Prefect."""
    if deployment is None:
        return _told(flow)
    known = ours.get(flow)
    named = re.fullmatch(known.deployed_as, deployment.name) if known is not None else None
    method = named.groupdict().get("method") if named is not None else None
    return _told(method) if method else f"{_told(flow)}/{_told(deployment.name)}"


def _not_taken(variables: Mapping[str, Any] | None) -> set[str]:
    # A form that was left empty sends an empty `env`, which asks for nothing.
    return {name for name, value in (variables or {}).items() if name != TAKEN and value not in (None, "", {}, [])}


def _told(text: str) -> str:
    return printable(text, at_most=_SHOWN)
