"""What a device and a disk have room for."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from domain.ports import Device


@dataclass(frozen=True)
class Room:
    """Bytes of memory where the training happens, and of the disk where it writes; cores to compute with."""

    memory_total: int
    memory_free: int
    disk_free: int
    cores: int


def room_on(device: Device, folder: Path) -> Room:
    """The room at this moment, for this process."""
    total, free = _memory(device)
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return Room(
        memory_total=total,
        memory_free=free,
        disk_free=shutil.disk_usage(there).free,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )


def _memory(device: Device) -> tuple[int, int]:
    if device.name.startswith("cuda"):
        import torch

        free, total = torch.cuda.mem_get_info()
        return total, free
    # An Apple GPU shares the machine's memory, so MLX has what the machine has.
    import psutil

    memory = psutil.virtual_memory()
    return memory.total, memory.available


def peak_memory(device: Device) -> int:
    """The most bytes that this process has had where it trains, so far."""
    if device.name.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated())
    import resource
    import sys

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
