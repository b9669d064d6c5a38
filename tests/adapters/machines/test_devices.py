"""The one place where a device is chosen."""

import sys

import pytest
import torch

from adapters.machines.devices import device_for
from domain.catalogue.method_spec import Backend
from domain.errors import BackendUnavailable

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")


@without_gpu
def test_without_a_cuda_device_the_cuda_backend_falls_back_to_the_cpu_and_says_so() -> None:
    device = device_for(Backend.CUDA)

    assert (device.name, device.description) == ("cpu", "CPU (no CUDA device here)")


def test_mlx_says_what_it_runs_on() -> None:
    device = device_for(Backend.MLX)

    assert device.name == "mlx"
    assert "MLX" in device.description


@pytest.mark.parametrize(("backend", "module"), [(Backend.CUDA, "torch"), (Backend.MLX, "mlx.core")])
def test_a_backend_whose_library_is_missing_is_unavailable(
    backend: Backend, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(BackendUnavailable, match="Install"):
        device_for(backend)
