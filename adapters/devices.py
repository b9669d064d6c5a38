"""What this machine trains on: the one place where a device is chosen."""

from domain.method_spec import Backend
from domain.ports import Device


def device_for(backend: Backend) -> Device:
    """The device that serves a backend on this machine. Raises `BackendUnavailable`."""
    raise NotImplementedError
