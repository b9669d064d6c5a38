"""Runs the hooks of one flow run for one state; both are given as JSON arguments."""

import sys

import anyio
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import load_flow_from_flow_run
from prefect.logging.handlers import APILogHandler
from prefect.runner._hook_runner import HookRunner


async def main(flow_run_json: str, state_json: str) -> None:
    """Load the flow as it is now, run its hooks for this state, and send what they logged."""
    flow_run = FlowRun.model_validate_json(flow_run_json)
    state = State.model_validate_json(state_json)
    hooks = HookRunner(resolve_flow=load_flow_from_flow_run)
    await (hooks.run_crashed_hooks if state.is_crashed() else hooks.run_cancellation_hooks)(flow_run, state)
    await APILogHandler.aflush()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
