"""The slots of this machine: how many trainings go on here at once, and on which GPU each of them.

A slot has a worker process of its own, which sees its GPU alone and takes one training at a time. The training's
process holds the slot's lock for as long as it lives, so that a training which outlived its worker keeps its GPU.
"""

import fcntl
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from domain.catalogue.method_spec import Backend

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_SLOT = "TMM_SLOT"
"""Names the slot to a worker and to its runs; set by whoever starts the worker, and no setting of a person's."""


@dataclass(frozen=True)
class Slot:
    """Room for one training: its name, and what its processes find in their environment."""

    name: str
    environment: dict[str, str]


def cuda_devices() -> tuple[str, ...]:
    """The GPUs that processes of this machine may use, as CUDA_VISIBLE_DEVICES names them; no GPU is opened."""
    there = [file for file in Path("/dev").glob("nvidia[0-9]*") if file.name.removeprefix("nvidia").isdigit()]
    return visible_of(len(there) or int(Path("/dev/dxg").exists()), os.environ.get(_VISIBLE))


def visible_of(count: int, allowed: str | None) -> tuple[str, ...]:
    """Of so many GPUs, those that CUDA_VISIBLE_DEVICES allows: it is read up to the first name that is none."""
    if not count or allowed is None:
        return tuple(str(number) for number in range(count))
    names = [name.strip() for name in allowed.split(",")]
    return tuple(itertools.takewhile(lambda name: name and not name.startswith("-"), names))


def slots_of(backend: Backend, *, asked: int = 0) -> list[Slot]:
    """One slot for each GPU, or one where there is none.

    `asked` is another number that is wanted: fewer slots share the GPUs out among them, more of them share a GPU.
    """
    devices = cuda_devices() if backend is Backend.CUDA else ()
    count = asked or len(devices) or 1
    slots = []
    for number in range(count):
        name = f"{backend}-{number + 1}"
        share = _share(devices, number, count)
        slots.append(Slot(name, {_SLOT: name, **({_VISIBLE: ",".join(share)} if share else {})}))
    return slots


def _share(devices: tuple[str, ...], number: int, count: int) -> tuple[str, ...]:
    """The GPUs of one of so many slots."""
    if not devices:
        return ()
    return devices[number::count] or (devices[number % len(devices)],)


def is_in_use(folder: Path) -> bool:
    """Whether a training still holds the slot that this process's environment names; locks lie in the folder."""
    with _lock(folder) as descriptor:
        return descriptor is not None and not _taken(descriptor)


@contextmanager
def own_slot(folder: Path, *, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold this process's slot for as long as the `with` lasts; `waiting` is called if another training has it still.

    Locks lie in the folder. A process that no slot was named to waits for nothing.
    """
    with _lock(folder) as descriptor:
        if descriptor is not None and not _taken(descriptor):
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def _lock(folder: Path) -> Iterator[int | None]:
    if (name := os.environ.get(_SLOT)) is None:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # the lock goes with it, also when this process is killed


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
