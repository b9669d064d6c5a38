"""Which process of this machine carries a run, so that others can tell whether it still lives."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_FILE = "process.json"
_GRACE_S = 10


@contextmanager
def this_process_runs(folder: Path) -> Iterator[None]:
    """Say that this process carries the run of this folder, for as long as the `with` lasts."""
    me = psutil.Process()
    (folder / _FILE).write_text(json.dumps({"pid": me.pid, "began": me.create_time()}))
    try:
        yield
    finally:
        _forget(folder)


def is_carried(folder: Path) -> bool | None:
    """Whether a living process of this machine carries the run; None if none of this machine ever said so."""
    try:
        said = json.loads((folder / _FILE).read_bytes())
        process = psutil.Process(said["pid"])
        # A process id is used again some day; the moment at which a process began tells them apart.
        return abs(process.create_time() - said["began"]) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except (OSError, ValueError, KeyError):
        return None


def _forget(folder: Path) -> None:
    with suppress(OSError, ValueError):
        if json.loads((folder / _FILE).read_bytes())["pid"] == os.getpid():
            (folder / _FILE).unlink()


def end_carrier(folder: Path) -> None:
    """End the process of this machine that carries the run: first asked, then made to."""
    if not is_carried(folder):
        return
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(json.loads((folder / _FILE).read_bytes())["pid"])
        process.terminate()
        try:
            process.wait(_GRACE_S)
        except psutil.TimeoutExpired:
            process.kill()
