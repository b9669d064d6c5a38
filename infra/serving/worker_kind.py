"""How runs get their processes on this machine: warm, or fresh. The worker that starts them is ours either way."""

from enum import StrEnum
from pathlib import Path

from adapters.prefect.warm_worker.compatibility import why_not_here

_SIGNS_OF_CUDA = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg")


class WorkerKind(StrEnum):
    """How runs get their processes. `stock` means fresh ones, which Prefect's own worker started once."""

    AUTO = "auto"
    WARM = "warm"
    STOCK = "stock"


def why_fresh(kind: WorkerKind) -> str | None:
    """Why runs start as fresh processes here, in one sentence; None when they may start warm."""
    if kind is WorkerKind.STOCK:
        return "Runs start as fresh processes, because TMM_WORKER is stock."
    if kind is WorkerKind.AUTO and has_cuda():
        return "Runs start as fresh processes, because there is a GPU: set TMM_WORKER=warm to try the warm start here."
    return f"{reason} Runs start as fresh processes." if (reason := why_not_here()) is not None else None


def has_cuda() -> bool:
    """Whether a GPU's driver is loaded; asked without opening the GPU."""
    return any(Path(sign).exists() for sign in _SIGNS_OF_CUDA)
