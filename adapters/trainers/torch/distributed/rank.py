"""One of the processes of a training in several.

    python -m adapters.trainers.torch.distributed.rank FOLDER PARENT [PIPES]

The first one is given the numbers of two pipes: one that it reads answers from, one that it tells on.
"""

import ctypes
import json
import os
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

from adapters.trainers.torch.distributed.processes import CONNECTION_LOST, JOB_FILE, ROWS_FILE
from domain.catalogue.method_spec import Backend
from domain.errors import BadResult, InvalidInput, TrainingMethodError
from domain.training import Meeting, TrainingJob


class _First:
    """The process that started this one, and its answers; every process but the first tells nothing."""

    def __init__(self, answers: int, tells: int) -> None:
        self._answers = os.fdopen(answers, encoding="utf-8")
        self._tells = os.fdopen(tells, "w", encoding="utf-8")

    def tell(self, message: Mapping[str, Any]) -> None:
        self._tells.write(json.dumps(message) + "\n")
        self._tells.flush()

    def heard(self) -> str | None:
        if not (line := self._answers.readline()):
            os._exit(1)  # nobody listens any more
        answer: str | None = json.loads(line)
        return answer


class _Progress:
    """Each step is told by the first process, and all go on together when it is answered."""

    def __init__(self, first: _First | None) -> None:
        self._first = first

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        if self._first is not None:
            self._first.tell({"step": step, "total": total, "metrics": dict(metrics)})
            self._first.heard()


class _Checkpoints:
    """A checkpoint is one folder into which all processes write; who started them keeps it when all have.

    What processes of other machines write is brought to it.
    """

    def __init__(self, first: _First | None, newest: tuple[int, Path] | None, meeting: Meeting | None) -> None:
        self._first = first
        self._newest = newest
        self._far = meeting is not None and meeting.machine > 0
        self._several_machines = meeting is not None

    def save(self, step: int, write: Callable[[Path], None]) -> None:
        from torch import distributed

        folder: list[str | None] = [None]
        if self._first is not None:
            self._first.tell({"checkpoint": step})
            folder = [self._first.heard()]
        distributed.broadcast_object_list(folder, src=0)
        if folder[0] is None:
            return  # it is there already
        with tempfile.TemporaryDirectory() as own:
            here = Path(own if self._far else folder[0])
            write(here)
            if self._several_machines:
                self._bring_together(here)
        distributed.barrier()
        if self._first is not None:
            self._first.tell({"written": step})
            self._first.heard()

    def _bring_together(self, here: Path) -> None:
        from torch import distributed

        mine = {path.relative_to(here): path.read_bytes() for path in here.rglob("*") if path.is_file() and self._far}
        brought: list[dict[Path, bytes]] | None = [{}] * distributed.get_world_size() if self._first else None
        distributed.gather_object(mine, brought)
        for name, content in ((name, content) for files in brought or () for name, content in files.items()):
            (here / name).write_bytes(content)

    def newest(self) -> tuple[int, Path] | None:
        return self._newest


def main() -> NoReturn:
    """Train in this process, and let the first one tell what came of it."""
    folder, parent, *pipes = sys.argv[1:]
    _die_with(int(parent))
    first = _First(*map(int, pipes)) if pipes else None
    try:
        _kept_open = _meeting_place() if first is not None else None
        result = _trained(Path(folder), first)
    except Exception as error:
        kind = _kind(error)
        if first is not None:
            first.tell({"failed": {"kind": kind, "words": str(error) or type(error).__name__}})
        if kind == "connection":
            traceback.print_exc()
            os._exit(CONNECTION_LOST)
        raise
    if first is not None:
        first.tell({"result": result})
    # Without the interpreter's farewell: torch's threads may outlive it and abort a process whose work is done.
    os._exit(0)


def _meeting_place() -> Any:
    """Where the processes find one another, open at the one address that they come by: torch would listen at all."""
    from torch.distributed import TCPStore

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    listening = socket.create_server((address, port))
    # The store has it from here on, and closes it.
    return TCPStore(address, port, is_master=True, wait_for_workers=False, master_listen_fd=listening.detach())


def _trained(folder: Path, first: _First | None) -> dict[str, Any]:
    document = json.loads((folder / JOB_FILE).read_text(encoding="utf-8"))
    facts = document["job"]
    meeting = Meeting(**facts["meeting"]) if facts["meeting"] else None
    newest = (facts["newest"][0], Path(facts["newest"][1])) if facts["newest"] else None
    with (folder / ROWS_FILE).open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    job = TrainingJob(
        run_id=UUID(facts["run_id"]),
        method=facts["method"],
        backend=Backend(facts["backend"]),
        device=facts["device"],
        base_model=facts["base_model"],
        rows=rows,
        held_out=[],
        seed=facts["seed"],
        folder=Path(facts["folder"]),
        checkpoints=_Checkpoints(first, newest, meeting),
        meeting=meeting,
    )
    module = import_module(document["module"])
    result = module.train_here(job, module.Options.model_validate(document["options"]), _Progress(first))
    return {
        "folder": str(result.folder),
        "is_adapter": result.is_adapter,
        "steps": result.steps,
        "metrics": dict(result.metrics),
    }


def _kind(error: Exception) -> str:
    from torch import distributed

    match error:
        case distributed.DistError():
            return "connection"
        case RuntimeError() if "/gloo/" in str(error):  # whose errors have no class of their own
            return "connection"
        case BadResult():
            return "bad"
        case InvalidInput():
            return "invalid"
        case TrainingMethodError():
            return "other"
    return "error"


def _die_with(parent: int) -> None:
    """On Linux this process ends with the one that started it; elsewhere it notices at its next step."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)


if __name__ == "__main__":
    main()
