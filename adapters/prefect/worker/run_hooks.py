"""Runs the hooks of one flow run for one state: the flow's entrypoint, and both others as JSON, are its arguments."""

import sys
from typing import Any

import anyio
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.logging.handlers import APILogHandler
from prefect.runner._hook_runner import HookRunner

from adapters.prefect.worker.engine import flow_at


async def main(entrypoint: str, flow_run_json: str, state_json: str) -> None:
    """Load the flow as it is now, run its hooks for this state, and send what they logged."""

    async def named_by_the_worker(_: FlowRun) -> Flow[..., Any]:
        return flow_at(entrypoint)

    flow_run = FlowRun.model_validate_json(flow_run_json)
    state = State.model_validate_json(state_json)
    hooks = HookRunner(resolve_flow=named_by_the_worker)
    await (hooks.run_crashed_hooks if state.is_crashed() else hooks.run_cancellation_hooks)(flow_run, state)
    await APILogHandler.aflush()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
