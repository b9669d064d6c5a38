"""One training in several processes, of one machine or of several: each computes its share of a step's rows, and they
agree on the gradient. On GPUs each process has its own; on the CPU they run side by side.

The processes follow torch's contract (RANK, WORLD_SIZE, MASTER_ADDR and so on), so accelerate and transformers do the
rest. The first one reports through a pipe and goes on when it is answered; all of them end with the process that
started them.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.shared.training.shares import problem_with_shares
from domain.errors import BadResult, InvalidConfigurationOptions, InvalidInput, MachineMissing, Unreachable
from domain.training import Meeting, Progress, TrainingJob, TrainingResult

JOB_FILE, ROWS_FILE = "job.json", "rows.jsonl"
CONNECTION_LOST = 75
"""The exit code of a process that lost the connection to the others."""

_PATIENCE_AT_THE_END_S = 30.0
_LOOK_EVERY_S = 1.0


def train(module: str, job: TrainingJob, options: Any, progress: Progress) -> TrainingResult:
    """Train in as many processes as the options say: each calls `train_here` of the trainer's module.

    Where machines share the training, this one leads.
    """
    if (problem := problem_with_shares(options.model_dump())) is not None:
        raise InvalidConfigurationOptions([problem])
    _must_have_devices(job, options.processes)
    meeting = job.meeting
    if meeting is None:
        if options.machines > 1:
            raise InvalidConfigurationOptions(
                [f"option 'machines' ({options.machines}): machines share only a training that Prefect carries"]
            )
        meeting = Meeting("127.0.0.1", free_port(), machines=1, machine=0)
    folder = job.folder / "processes"
    _write_job(folder, module, job, options)
    with _started(folder, options.processes, meeting) as several:
        told = _followed(several, job, progress)
        for process in several.processes:
            process.wait(_PATIENCE_AT_THE_END_S)
    return TrainingResult(Path(told["folder"]), told["is_adapter"], told["steps"], told["metrics"])


def take_part(module: str, job: TrainingJob, options: Any, *, goes_on: Callable[[], bool]) -> None:
    """Compute this machine's share of a training that another one leads; return when it is done.

    Raises `Unreachable` when it ends before that, or does not go on.
    """
    _must_have_devices(job, options.processes)
    assert job.meeting is not None
    folder = job.folder / "processes"
    _write_job(folder, module, job, options)
    with _started(folder, options.processes, job.meeting) as several:
        while None in (codes := [process.poll() for process in several.processes]):
            if any(codes) or not goes_on():
                break
            time.sleep(_LOOK_EVERY_S)
        if any(code != 0 for code in codes):
            raise Unreachable(f"The training ended before this share of it was done. {_why(codes, folder)}".rstrip())


def _why(codes: Sequence[int | None], folder: Path) -> str:
    if any(code not in (0, None, CONNECTION_LOST) for code in codes):
        return f"The last that was heard here is: {_last_words(folder)}"
    return "The connection to the others was lost." if CONNECTION_LOST in codes else ""


def _last_words(folder: Path) -> str:
    logs = (log.read_text(encoding="utf-8", errors="replace").strip() for log in folder.glob("process-*.log"))
    return " / ".join(said.splitlines()[-1] for said in logs if said) or "nothing"


@dataclass(frozen=True)
class _Several:
    """The processes, and the pipes to the first of them: what it tells, and the answers."""

    processes: list["subprocess.Popen[bytes]"]
    told: Any
    answers: Any
    meeting: Meeting

    def heard(self) -> dict[str, Any]:
        """The next message. Raises what went wrong, in its words."""
        # It waits for an answer to each message, so that none lies unseen in the buffer of the pipe.
        while not select.select([self.told], [], [], _LOOK_EVERY_S)[0]:
            self.meeting.all_are_there()
        if not (line := self.told.readline()):
            raise RuntimeError(_ended_early(self.processes))
        message: dict[str, Any] = json.loads(line)
        if "failed" in message:
            raise _error(message["failed"], self)
        return message

    def answer(self, answer: str | None) -> None:
        self.answers.write(json.dumps(answer) + "\n")
        self.answers.flush()


@contextmanager
def _started(folder: Path, count: int, meeting: Meeting) -> Iterator[_Several]:
    """The processes at work; whatever happens, none of them is left."""
    read_told, write_told = os.pipe()
    read_answers, write_answers = os.pipe()
    common = {
        "WORLD_SIZE": str(meeting.machines * count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": meeting.address,
        "MASTER_PORT": str(meeting.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # all find the meeting place; the first process has opened it
        **_network_to(meeting.address),
    }
    with os.fdopen(read_told, encoding="utf-8") as told, os.fdopen(write_answers, "w", encoding="utf-8") as answers:
        several = _Several([], told, answers, meeting)
        try:
            try:
                for local in range(count):
                    rank = meeting.machine * count + local
                    pipes = (read_answers, write_told) if rank == 0 else ()
                    environment = os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(local)}
                    several.processes.append(_process(folder, rank, environment, pipes))
            finally:
                os.close(read_answers)
                os.close(write_told)
            yield several
        finally:
            for process in several.processes:
                process.kill()
            for process in several.processes:
                process.wait()


def _process(
    folder: Path, rank: int, environment: Mapping[str, str], pipes: tuple[int, ...]
) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "adapters.trainers.torch.distributed.rank", str(folder), str(os.getpid())]
    with (folder / f"process-{rank}.log").open("wb") as log:
        return subprocess.Popen(
            [*command, *map(str, pipes)],
            env=dict(environment),
            pass_fds=pipes,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C is for the process that started them
        )


def _followed(several: _Several, job: TrainingJob, progress: Progress) -> Mapping[str, Any]:
    """Pass on each step and each checkpoint, until the first process tells the result."""

    def write(folder: Path) -> None:
        several.answer(str(folder))
        several.heard()

    while "result" not in (message := several.heard()):
        if "checkpoint" in message:
            job.checkpoints.save(message["checkpoint"], write)
            several.answer(None)
        else:
            progress.step(message["step"], message["total"], message["metrics"])
            several.answer("go on")
    result: Mapping[str, Any] = message["result"]
    return result


def _error(failed: Mapping[str, str], several: _Several) -> Exception:
    kinds: dict[str, type[Exception]] = {"bad": BadResult, "invalid": InvalidInput}
    if failed["kind"] == "connection":  # all that the first one knows is that another went silent
        if several.meeting.machines > 1 and not any((process.poll() or 0) < 0 for process in several.processes):
            return MachineMissing(
                "The connection to another machine that took part was lost: it, its process or the network is gone."
            )
        return RuntimeError(_ended_early(several.processes))
    return kinds.get(failed["kind"], RuntimeError)(failed["words"])


def _ended_early(processes: list["subprocess.Popen[bytes]"]) -> str:
    for rank, process in sorted(enumerate(processes), reverse=True):
        try:
            code = process.wait(5 if rank == 0 else 0.5)
        except subprocess.TimeoutExpired:
            continue
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"Process {rank + 1} of {len(processes)} {how} before the training was done."
    return "The first process of the training went silent."


def _must_have_devices(job: TrainingJob, count: int) -> None:
    if job.device == "cuda":
        import torch

        if (there := torch.cuda.device_count()) < count:
            raise InvalidConfigurationOptions(
                [f"option 'processes' ({count}): each needs a GPU of its own, and this machine has {there}"]
            )


def _write_job(folder: Path, module: str, job: TrainingJob, options: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ROWS_FILE).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in job.rows)
    newest = job.checkpoints.newest()
    facts = {
        "run_id": str(job.run_id),
        "method": job.method,
        "backend": job.backend.value,
        "device": job.device,
        "base_model": job.base_model,
        "seed": job.seed,
        "folder": str(job.folder),
        "newest": [newest[0], str(newest[1])] if newest else None,
        "meeting": _as_json(job.meeting) if job.meeting else None,
    }
    document = {"module": module, "job": facts, "options": options.model_dump(mode="json")}
    (folder / JOB_FILE).write_text(json.dumps(document), encoding="utf-8")


def _as_json(meeting: Meeting) -> dict[str, Any]:
    return {name: getattr(meeting, name) for name in ("address", "port", "machines", "machine")}


def free_port() -> int:
    """A TCP port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port


def address_towards(host: str) -> str:
    """This machine's own address in the network in which it reaches a host."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))  # nothing is sent
        address: str = probe.getsockname()[0]
        return address


def _network_to(host: str) -> dict[str, str]:
    """Names the network that machines share: else a machine's own name would decide, which may mean itself alone."""
    import psutil

    own = address_towards(host)
    names = [name for name, has in psutil.net_if_addrs().items() if own in {address.address for address in has}]
    wanted = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
    return {variable: os.environ.get(variable, name) for variable in wanted for name in names[:1]}
