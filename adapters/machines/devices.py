"""What this machine trains on: the one place where a device is chosen."""

from adapters.shared.mlx_runtime import make_ready
from domain.catalogue.method_spec import Backend
from domain.errors import BackendUnavailable
from domain.ports import Device


def device_for(backend: Backend) -> Device:
    """The device that serves a backend on this machine. Raises `BackendUnavailable`."""
    match backend:
        case Backend.CUDA:
            return _for_torch()
        case Backend.MLX:
            return _for_mlx()


def _for_torch() -> Device:
    try:
        import torch
    except ImportError as error:
        raise BackendUnavailable(
            f"The cuda backend needs PyTorch, which cannot be used here ({error}). Install torch, or train on mlx."
        ) from None
    if not torch.cuda.is_available():
        return Device("cpu", "CPU (no CUDA device here)")
    return Device("cuda", torch.cuda.get_device_name())


def _for_mlx() -> Device:
    try:
        make_ready()
        import mlx.core as mx
    except ImportError as error:
        raise BackendUnavailable(
            f"The mlx backend needs MLX, which cannot be used here ({error}). Install mlx-lm, or train on cuda."
        ) from None
    if mx.is_available(mx.gpu):
        return Device("mlx", f"{mx.device_info(mx.gpu).get('device_name', 'GPU')} through MLX")
    return Device("mlx", "CPU through MLX (no Apple GPU here)")
