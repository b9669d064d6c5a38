"""What a run's process runs: Prefect's engine on the flow that our worker named.

    python -m adapters.prefect.worker.engine flows.train.train

Prefect's own `prefect.engine` asks Prefect where the flow's code is, and fetches and runs whatever the deployment says
at that moment: that may have been changed since the worker looked at it.
"""

import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.engine import handle_engine_signals
from prefect.flow_engine import run_flow
from prefect.flows import Flow
from prefect.logging.loggers import flow_run_logger


def flow_at(entrypoint: str) -> Flow[..., Any]:
    """The flow of this name in this module."""
    module, _, name = entrypoint.rpartition(".")
    flow: Flow[..., Any] = getattr(import_module(module), name)
    return flow


def main(entrypoint: str) -> None:
    """Run the flow for the flow run that the environment names; the process ends as `prefect.engine` would."""
    flow_run_id = UUID(os.environ["PREFECT__FLOW_RUN_ID"])
    with suppress(ImportError):  # a private part of Prefect: without it, a cancellation comes as a signal alone
        from prefect._internal.control_listener import configure_from_env

        configure_from_env()
    with handle_engine_signals(flow_run_id):
        with get_client(sync_client=True) as client:
            flow_run = client.read_flow_run(flow_run_id)
        logger = flow_run_logger(flow_run)
        try:
            flow = flow_at(entrypoint)
        except Exception:
            logger.exception("The flow %s could not be loaded", entrypoint)
            raise
        # Not for its result: of a run that somebody declared to be completed, Prefect would unpickle what they name.
        run_flow(flow, flow_run=flow_run, error_logger=logger, return_type="state")  # type: ignore[arg-type]  # acts as one


if __name__ == "__main__":
    main(sys.argv[1])
