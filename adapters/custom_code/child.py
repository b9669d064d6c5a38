"""The process in which code of one's own runs. It gets a task on one pipe and tells on another; nothing else is its.

Started as `python -m adapters.custom_code.child TASKS TELLS` with the numbers of the two pipes.
"""

import ctypes
import faulthandler
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import IO, Any

from adapters.custom_code.contract import (
    HEAVY,
    Bounds,
    Stopped,
    WrongShape,
    checked,
    failure,
    job_from,
    load,
    make_ready,
)
from adapters.custom_code.shared_memory import pass_files_without_sockets
from adapters.shared import confinement
from domain.catalogue.options import declared_options


class _Ending:
    """A process is asked to end once: what it does on its way out is not interrupted again."""

    begun = False


class Pipe:
    """The other side, line by line: what is told there, and the answers."""

    def __init__(self, tasks: IO[str], tells: IO[str]) -> None:
        self._tasks, self._tells = tasks, tells

    def tell(self, message: Mapping[str, Any]) -> None:
        self._tells.write(json.dumps(message) + "\n")
        self._tells.flush()

    def heard(self) -> Any:
        line = self._tasks.readline()
        if not line:
            _Ending.begun = True
            raise Stopped("the worker stopped it, or is gone")
        return json.loads(line)


class PipedProgress:
    """The `Progress` of code in this process: each step is told, and goes on when the other side has taken it."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        numbers = {str(name): float(value) for name, value in metrics.items()}
        self._pipe.tell({"step": int(step), "total": int(total), "metrics": numbers})
        if (answer := self._pipe.heard()) != "go on":
            raise Stopped(str(answer))


def main() -> None:
    """Do the one task that the other side gives, and tell what came of it."""
    tasks = os.fdopen(int(sys.argv[1]), "r", encoding="utf-8")
    tells = os.fdopen(int(sys.argv[2]), "w", encoding="utf-8")
    pipe = Pipe(tasks, tells)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    signal.signal(signal.SIGTERM, _stop)
    task = pipe.heard()
    _die_with_parent(task["parent"])
    _keep_to(task["bounds"])
    folder = Path(task["code"]) if task.get("code") else None
    try:
        pipe.tell({"result": _TASKS[task["do"]](task, pipe)})
    except Stopped as stopped:
        pipe.tell({"stopped": str(stopped)})
    except BaseException as error:
        traceback.print_exc()
        pipe.tell({"failed": failure(error, folder)})


def _stop(_signal: int, _frame: FrameType | None) -> None:
    if not _Ending.begun:
        _Ending.begun = True
        raise Stopped("it was asked to end")


def _die_with_parent(parent: int) -> None:
    """On Linux this process ends with its worker; elsewhere it notices at its next step that nobody listens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)


def _keep_to(bounds: Mapping[str, Any]) -> None:
    """From here on this process has nothing that the code is not to have. Raises `OSError` where that fails."""
    _limit(bounds)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: what it starts is its own, and is found
    if bounds["confined"]:
        confinement.confine(reads=map(Path, bounds["reads"]), writes=map(Path, bounds["writes"]))
        Bounds.confined = True
        pass_files_without_sockets()
    else:
        confinement.drop_capabilities()


def _limit(bounds: Mapping[str, Any]) -> None:
    """Limits that the system holds: what goes beyond one fails where it does, with its line."""
    import resource

    limits = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": bounds["most_file_bytes"]}
    if sys.platform == "linux":  # elsewhere they are not held, or count what is not ours
        limits |= {"RLIMIT_AS": bounds["most_bytes"], "RLIMIT_NPROC": bounds["most_tasks"]}
    for name, most in limits.items():
        if most is not None:
            which = getattr(resource, name)
            _, hard = resource.getrlimit(which)
            lowest = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(which, (lowest, lowest))


def declare(task: Mapping[str, Any], _: Pipe) -> dict[str, Any]:
    """What the code declares, the heavy libraries that it imports for that, and how long (seconds) that took."""
    began = time.monotonic()
    module = load(Path(task["code"]))
    took = time.monotonic() - began
    try:
        options = declared_options(module.Options)
    except (TypeError, ValueError) as error:
        raise WrongShape(f"Options: {error}") from None
    return {
        "options": [option.model_dump(mode="json") for option in options],
        "heavy": [name for name in HEAVY if name in sys.modules],
        "seconds": took,
    }


def train(task: Mapping[str, Any], pipe: Pipe) -> dict[str, Any]:
    """Let the code train; its result, which has the right shape."""
    job = job_from(task["job"])
    make_ready(job.backend)
    module = load(Path(task["code"]))
    options = module.Options.model_validate(task["options"])
    return checked(module.train(job, options, PipedProgress(pipe)), job)


def _check(task: Mapping[str, Any], pipe: Pipe) -> Any:
    from adapters.custom_code.conformance import check

    return check(task, pipe)


_TASKS: dict[str, Callable[[Mapping[str, Any], Pipe], Any]] = {"declare": declare, "train": train, "check": _check}

if __name__ == "__main__":
    # Under its own name, so that its classes are the same for whoever imports them.
    from adapters.custom_code.child import main as run_this_process

    run_this_process()
