"""How a flow acts: as the user `prefect`, with the flow run's id, on this machine's installation."""

from uuid import UUID

from prefect.runtime import flow_run

from infra.wiring import Installation


def installation_of_this_run() -> Installation:
    """The installation of this worker, acting for the flow run under way."""
    return Installation.for_flow(UUID(flow_run.id))
