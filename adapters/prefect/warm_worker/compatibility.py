"""The start-up check: may runs start warm here, and be watched over? Both lean on private parts of one Prefect."""

import inspect
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version

PREFECT = "3.8.8"
"""The version whose private parts these are."""

LEANS_ON: Mapping[str, tuple[str, ...]] = {
    "prefect._internal.control_listener:configure_from_env": (),
    "prefect.context:refresh_global_settings_context": (),
    "prefect.logging.configuration:setup_logging": ("incremental",),
    "prefect.runner._control_channel:ControlChannel.register": ("self", "flow_run_id"),
    "prefect.runner._control_channel:ControlChannel.unregister": ("self", "flow_run_id"),
    "prefect.runner._flow_run_executor:FlowRunExecutor.submit": ("self", "task_status"),
    "prefect.runner._flow_run_executor:FlowRunExecutorContext.create_executor": (
        "self",
        "flow_run",
        "starter",
        "resolve_flow",
        "propose_submitting",
        "hook_runner",
    ),
    "prefect.runner._hook_runner:HookRunner": ("resolve_flow",),
    "prefect.runner._process_manager:ProcessHandle": ("_process", "termination_scope"),
    "prefect.runner._process_manager:create_isolated_termination_scope": ("pid",),
    "prefect.runner._starter_engine:EngineCommandStarter": (
        "tmp_dir",
        "storage",
        "entrypoint",
        "command",
        "cwd",
        "env",
        "deployment_name",
        "stream_output",
        "heartbeat_seconds",
        "control_channel",
        "isolate_process_group",
        "env_overrides_settings",
    ),
    "prefect.utilities.processutils:setup_signal_handlers_worker": ("pid", "process_name", "print_fn"),
}
"""Each part with the parameters that we know it to have."""


def why_not_here() -> str | None:
    """Why runs cannot start warm on this machine, in one sentence; None when they can. Imports nothing."""
    if sys.platform != "linux":
        return "This is not Linux, where alone runs can start warm."
    if (installed := version("prefect")) != PREFECT:
        return f"Runs start warm with Prefect {PREFECT} only, and this is {installed}."
    return None


def why_not_with_this_prefect() -> str | None:
    """Which part of Prefect is not as the warm worker knows it, in one sentence; None when all are. Imports them."""
    for address, parameters in LEANS_ON.items():
        if (difference := _difference(address, parameters)) is not None:
            return f"Runs cannot start warm with this Prefect: {difference}."
    return None


def _difference(address: str, parameters: tuple[str, ...]) -> str | None:
    module, _, name = address.partition(":")
    try:
        part = import_module(module)
        for step in name.split("."):
            part = getattr(part, step)
    except (ImportError, AttributeError) as error:
        return f"{address} is not there ({error})"
    found = tuple(inspect.signature(part).parameters)  # type: ignore[arg-type]  # it is something to call
    return None if found == parameters else f"{address} takes {', '.join(found) or 'nothing'}"
