"""Tensors between the processes of confined code: without sockets, over which Python passes open files on.

A loader's workers give each batch as shared memory. Whoever receives one opens it among the open files of the giver,
which keeps it until a mark of its own is gone.
"""

import os
from contextlib import suppress
from multiprocessing import reduction
from pathlib import Path
from uuid import uuid4

_MARKS = Path("/dev/shm")


class OpenFile:
    """An open file on its way from one process to another; in the place of `multiprocessing.reduction.DupFd`."""

    _on_their_way: list[tuple[int, Path]] = []  # noqa: RUF012 -- of this process, whichever file it is

    def __init__(self, descriptor: int) -> None:
        self._let_go()
        self._giver, self._descriptor = os.getpid(), os.dup(descriptor)
        self._mark = _MARKS / f"tmm-{uuid4()}"
        self._mark.touch()
        self._on_their_way.append((self._descriptor, self._mark))

    def detach(self) -> int:
        """The file, open in this process."""
        opened = os.open(f"/proc/{self._giver}/fd/{self._descriptor}", os.O_RDWR)
        self._mark.unlink(missing_ok=True)
        return opened

    @classmethod
    def _let_go(cls) -> None:
        arrived = [way for way in cls._on_their_way if not way[1].exists()]
        for descriptor, _ in arrived:
            with suppress(OSError):
                os.close(descriptor)
        cls._on_their_way[:] = [way for way in cls._on_their_way if way not in arrived]


def pass_files_without_sockets() -> None:
    """From here on, processes that this one starts give one another shared memory without a socket."""
    reduction.DupFd = OpenFile  # type: ignore[assignment]  # its place is looked up at each use
