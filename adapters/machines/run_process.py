"""Which process of this machine carries a run, so that others can tell whether it still lives."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psutil

_FILE = "process.json"
_GRACE_S = 10


@dataclass(frozen=True)
class Carrier:
    """The last process of this machine that said that it carries a run, in which attempt; None once it is gone."""

    attempt: int
    process: psutil.Process | None

    @property
    def lives(self) -> bool:
        return self.process is not None

    def end(self) -> None:
        """End the process: first asked, then made to."""
        if self.process is None:
            return
        with suppress(psutil.NoSuchProcess):
            self.process.terminate()
            try:
                self.process.wait(_GRACE_S)
            except psutil.TimeoutExpired:
                self.process.kill()


@contextmanager
def this_process_runs(folder: Path, attempt: int) -> Iterator[None]:
    """Say that this process carries the run of this folder in this attempt, for as long as the `with` lasts."""
    me = psutil.Process()
    (folder / _FILE).write_text(json.dumps({"attempt": attempt, "pid": me.pid, "began": me.create_time()}))
    try:
        yield
    finally:
        _forget(folder)


def carrier_of(folder: Path) -> Carrier | None:
    """The process of this machine that carries the run or carried it when it died; None if there never was one."""
    try:
        said = json.loads((folder / _FILE).read_bytes())
        return Carrier(said["attempt"], _process(said["pid"], said["began"]))
    except (OSError, ValueError, KeyError):
        return None


class CarriersHere:
    """The processes that carry runs on this machine; each run has a folder of its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def end_process(self, run_id: UUID) -> bool:
        """End the process that carries a run; False where there is none."""
        carrier = carrier_of(self._folder / str(run_id))
        if carrier is None or not carrier.lives:
            return False
        carrier.end()
        return True


def _process(pid: int, began: float) -> psutil.Process | None:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        # A process id is used again some day; the moment at which a process began tells them apart.
        if abs(process.create_time() - began) < 1 and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _forget(folder: Path) -> None:
    with suppress(OSError, ValueError):
        if json.loads((folder / _FILE).read_bytes())["pid"] == os.getpid():
            (folder / _FILE).unlink()
