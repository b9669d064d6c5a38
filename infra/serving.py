"""`tmm up` and `tmm worker`: Prefect and workers, watched over until interrupted."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from adapters.cli.output import remark, say, warn
from domain.method_spec import Backend
from infra.one_server import only_here, the_only_server
from infra.prefect_environment import api_url_or_refuse
from infra.supervisor import Supervisor, interrupts_raised

if TYPE_CHECKING:
    from infra.wiring import Installation

_PREFECTS_OWN_PORT = 4200


def serve(tmm: "Installation", backends: Sequence[Backend]) -> None:
    """A Prefect server (unless PREFECT_API_URL names one), the catalogue in it, and a worker for each backend."""
    with ExitStack() as stack:
        stack.enter_context(interrupts_raised())
        supervisor = stack.enter_context(Supervisor(tmm.settings, say=remark))
        if (api_url := os.environ.get("PREFECT_API_URL")) is None:
            stack.enter_context(only_here(tmm.settings))
            api_url = supervisor.start_server(preferred_port=_PREFECTS_OWN_PORT)
            stack.enter_context(the_only_server(tmm.settings, api_url))
        for backend in backends:
            supervisor.start_worker(backend, api_url)
        tmm.migrate()
        supervisor.await_server(api_url)
        tmm.catalogue.ensure_pools(backends)
        warn(tmm.update_prefect())
        say(f"The Prefect UI is at {api_url.removesuffix('/api')}")
        say(f"Workers serve {' and '.join(backends)}. Train with: tmm train sft-demo")
        remark("Press Ctrl-C to stop.")
        supervisor.watch()


def work(tmm: "Installation", backend: Backend) -> None:
    """One worker of a backend's pool, on the server that PREFECT_API_URL or this data folder names."""
    with interrupts_raised(), Supervisor(tmm.settings, say=remark) as supervisor:
        api_url = api_url_or_refuse(tmm.settings)
        tmm.catalogue.ensure_pools([backend])
        tmm.migrate()
        warn(tmm.update_prefect())
        supervisor.start_worker(backend, api_url)
        say(f"This worker serves {backend} for the Prefect at {api_url.removesuffix('/api')}")
        remark("Press Ctrl-C to stop.")
        supervisor.watch()
