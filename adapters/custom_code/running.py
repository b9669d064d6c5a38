"""Running code of one's own in a process of its own: with a bare environment, within limits, and watched.

What comes back is progress, a result and errors over a pipe; whatever the code does to its process, the worker lives.
"""

import ast
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from adapters.custom_code.code_store import ENTRY
from adapters.shared import confinement
from adapters.shared.plain_files import fault_in, reach_of
from domain.errors import BadResult, CustomCodeFailed, InvalidInput
from domain.training import Progress, TrainingJob, TrainingResult

_IMPORTED_FROM = Path(__file__).resolve().parents[2]
_LOOK_EVERY_S = 0.5
_ADDRESS_SPACE_BESIDE = 16 * 2**30
"""Bytes of address space that libraries reserve and never use."""
_TASKS_BESIDE = 1000
"""Processes and threads that the same user may start meanwhile: the limit that is meant is held by looking."""

# Nothing of the service is in the environment of the code: no database, no Prefect, no licence, no token.
_KEPT = re.compile(
    r"PATH|LANG|LC_\w+|TZ|VIRTUAL_ENV|LD_LIBRARY_PATH|DYLD_\w+|SSL_CERT_\w+|"
    r"(CUDA|NVIDIA|NCCL|OMP|MKL|OPENBLAS|VECLIB|MLX|PYTORCH)_\w+|"
    r"TOKENIZERS_PARALLELISM|DO_NOT_TRACK|HF_HUB_OFFLINE|HF_HUB_DISABLE_TELEMETRY|TRANSFORMERS_OFFLINE"
)


@dataclass(frozen=True)
class Limits:
    """What code of one's own may use. `silence_s`: longest time without a reported step; `tasks`: processes and
    threads; `grace_s`: how long it may go on after it was asked to end; `file_gb`: the largest file."""

    memory_gb: float
    silence_s: float
    tasks: int = 1000
    grace_s: float = 10.0
    file_gb: float = 100.0


def in_a_process(
    task: Mapping[str, Any],
    *,
    folder: Path,
    limits: Limits,
    on_step: Callable[[int, int, Mapping[str, float]], None] | None = None,
    on_message: Callable[[Mapping[str, Any]], None] | None = None,
) -> Any:
    """Do one task of `adapters.custom_code.child` in a process of its own; its result. `folder` is where it may write.

    What the code prints goes to `output.log` in the folder. Raises `CustomCodeFailed` with the code's own file and
    line, `BadResult` or `InvalidInput` where the code raised that, and whatever `on_step` raises, after the code was
    stopped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _Process(task, folder, limits) as process:
        while True:
            message = process.next_message()
            match message:
                case {"step": int(step), "total": int(total), "metrics": dict(metrics)}:
                    if on_step is not None:
                        on_step(step, total, {str(name): float(value) for name, value in metrics.items()})
                    process.answer("go on")
                case {"result": result}:
                    return result
                case {"failed": {"words": str(words), "kind": kind, "place": str(place)}}:
                    raise _error(words, kind, place, process.log)
                case {"stopped": _}:
                    raise CustomCodeFailed(f"The code was stopped from outside. What it printed: {process.log}")
                case dict() if on_message is not None:
                    on_message(message)


class CustomTrainer:
    """The code of a method as a `Trainer`. Options are checked by the code's own model, where it runs."""

    class Options:
        """Takes what it is given; the code's own `Options` has the last word."""

        @staticmethod
        def model_validate(given: Mapping[str, Any]) -> dict[str, Any]:
            return dict(given)

    def __init__(self, code: Path, limits: Limits) -> None:
        self._code = code
        self._limits = limits

    def train(self, job: TrainingJob, options: Mapping[str, Any], progress: Progress) -> TrainingResult:
        """Let the code train, in a process of its own."""
        task = {"do": "train", "code": str(self._code), "options": dict(options), "job": facts_of(job)}
        result = in_a_process(task, folder=job.folder, limits=self._limits, on_step=progress.step)
        return _result(result, job)

    def not_opened(self, error: Exception) -> CustomCodeFailed:
        """What to say when the result that the code gave cannot be opened to be measured."""
        place = f"{ENTRY}, line {_line_of_train(self._code / ENTRY)}, in train"
        return CustomCodeFailed(
            f"What the code gave as its result cannot be opened: {type(error).__name__}: {str(error)[:300]} ({place})."
        )


def _line_of_train(file: Path) -> int:
    found = ast.parse(file.read_bytes()).body
    return next((node.lineno for node in found if isinstance(node, ast.FunctionDef) and node.name == "train"), 1)


def facts_of(job: TrainingJob) -> dict[str, Any]:
    """The job as the child reads it; its rows go through files."""
    given = job.folder / "given"
    given.mkdir(parents=True, exist_ok=True)
    for name, rows in (("rows.jsonl", job.rows), ("held_out.jsonl", job.held_out)):
        with (given / name).open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows)
    return {
        "run_id": str(job.run_id),
        "method": job.method,
        "backend": job.backend.value,
        "device": job.device,
        "base_model": job.base_model,
        "rows": str(given / "rows.jsonl"),
        "held_out": str(given / "held_out.jsonl"),
        "seed": job.seed,
        "folder": str(job.folder),
    }


def _result(told: Any, job: TrainingJob) -> TrainingResult:
    # The code could have written to the pipe itself: what is told is looked at as any input.
    match told:
        case {"folder": str(folder), "is_adapter": bool(is_adapter), "steps": int(steps), "metrics": dict(metrics)}:
            if Path(folder).resolve().is_relative_to(job.folder.resolve()) and Path(folder).is_dir():
                if fault := fault_in(Path(folder)):
                    raise CustomCodeFailed(f"{fault}, and what the code gives as its result is plain files.")
                return TrainingResult(Path(folder), is_adapter, steps, {str(k): float(v) for k, v in metrics.items()})
    raise CustomCodeFailed("The code ended with a result that is none.")


def bare_environment(folder: Path) -> dict[str, str]:
    """What the code finds in its environment: what libraries need to work, and a home and a place for temporary files
    in the run's own folder."""
    kept = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
    for name in ("home", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return kept | {
        "TMPDIR": str(folder / "tmp"),
        "HOME": str(folder / "home"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(_IMPORTED_FROM),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "TRL_EXPERIMENTAL_SILENCE": "1",
    }


def bounds_of(task: Mapping[str, Any], folder: Path, limits: Limits) -> dict[str, Any]:
    """What the child keeps itself to before it loads the code: limits, and the folders that are its own."""
    job = task.get("job") or {}
    own = [Path(place) for place in (task.get("code"), job.get("base_model")) if place]
    writes = [folder, *([Path(job["folder"])] if job else [])]
    on_gpu = job.get("device") == "cuda"
    return {
        "confined": not confinement.missing(),
        "reads": [str(place) for path in own if path.is_absolute() for place in (path, reach_of(path))],
        "writes": [str(path) for path in writes],
        # The drivers of GPUs reserve more addresses than any machine has memory.
        "most_bytes": None if on_gpu else int(limits.memory_gb * 2**30) * 2 + _ADDRESS_SPACE_BESIDE,
        "most_file_bytes": int(limits.file_gb * 2**30),
        "most_tasks": _tasks_of_this_user() + limits.tasks + _TASKS_BESIDE if os.getuid() else None,
    }


def _tasks_of_this_user() -> int:
    """Its processes and threads on this machine, of which the system counts those of all programs together."""
    count = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            count += process.num_threads() if process.uids().real == os.getuid() else 0
    return count


class _Process:
    """The child, its pipes and its limits. On leaving, nothing of it is left."""

    def __init__(self, task: Mapping[str, Any], folder: Path, limits: Limits) -> None:
        self._limits = limits
        self._code = Path(task["code"]) if task.get("code") else None
        self.log = folder / "output.log"
        tasks_read, self._tasks = os.pipe()
        self._tells, tells_write = os.pipe()
        self._told = selectors.DefaultSelector()
        self._told.register(self._tells, selectors.EVENT_READ)
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                # Neither from the folder nor from the home, in which the code may have written before, is imported.
                [sys.executable, "-P", "-s", "-m", "adapters.custom_code.child", str(tasks_read), str(tells_write)],
                cwd=folder,
                env=bare_environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(tasks_read, tells_write),
                start_new_session=True,
            )
        os.close(tasks_read)
        os.close(tells_write)
        self._unread = b""
        self._heard = self._looked = time.monotonic()
        self._say({**task, "parent": os.getpid(), "bounds": bounds_of(task, folder, limits)})

    def __enter__(self) -> "_Process":
        return self

    def __exit__(self, *_: object) -> None:
        # First it is asked, in both ways in which it may listen; then it and all that it started is made to.
        with suppress(OSError):
            os.close(self._tasks)
        if self._child.poll() is None:
            self._child.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(self._limits.grace_s)
        self._kill()
        self._told.close()
        os.close(self._tells)

    def answer(self, words: str) -> None:
        self._heard = time.monotonic()  # what we did with the step is not its silence
        self._say(words)

    def next_message(self) -> Any:
        """The next line that the child tells. Raises `CustomCodeFailed` when it ends, or goes beyond its limits."""
        while b"\n" not in self._unread:
            if self._told.select(_LOOK_EVERY_S):
                more = os.read(self._tells, 65536)
                if not more:
                    raise self._ended()
                self._unread += more
                if len(self._unread) > 64 * 2**20:
                    raise CustomCodeFailed("The code told more at once than anybody can read.")
            self._must_keep_its_limits()
        line, _, self._unread = self._unread.partition(b"\n")
        self._heard = time.monotonic()
        try:
            return json.loads(line)
        except ValueError:
            raise CustomCodeFailed("The code wrote to the pipe that belongs to the service.") from None

    def _say(self, message: Any) -> None:
        with suppress(BrokenPipeError):  # that it ended is seen when it is listened to
            os.write(self._tasks, json.dumps(message).encode() + b"\n")

    def _must_keep_its_limits(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY_S:
            return
        self._looked = now
        memory, tasks = _used(self._child.pid)
        if memory > self._limits.memory_gb * 2**30:
            raise self._beyond(f"The code uses {memory / 2**30:.1f} GB of memory; its limit is "
                               f"{self._limits.memory_gb:g} GB (TMM_CUSTOM_MEMORY_GB)")  # fmt: skip
        if tasks > self._limits.tasks:
            raise self._beyond(f"The code runs {tasks} processes and threads; its limit is {self._limits.tasks}")
        if now - self._heard > self._limits.silence_s:
            raise self._beyond(f"The code reported no step for {self._limits.silence_s:g} seconds, its limit "
                               "(TMM_CUSTOM_SILENCE_MINUTES)")  # fmt: skip

    def _beyond(self, words: str) -> CustomCodeFailed:
        """Where the code is at this moment, by its own stack; then it is made to end at once."""
        begins = self.log.stat().st_size
        with suppress(ProcessLookupError):
            os.kill(self._child.pid, signal.SIGUSR1)
        deadline = time.monotonic() + 1.0
        place = ""
        while not place and time.monotonic() < deadline and self._child.poll() is None:
            place = self._place_in_log(begins)
            time.sleep(0.05)
        self._kill()
        return CustomCodeFailed(f"{words}{f' ({place})' if place else ''}. What it printed: {self.log}")

    def _ended(self) -> CustomCodeFailed:
        code = self._child.wait()
        place = self._place_in_log(0)
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return CustomCodeFailed(
            f"The code's process ended {how} and without a result{f' ({place})' if place else ''}. "
            f"What it printed: {self.log}"
        )

    def _place_in_log(self, begins: int) -> str:
        """The innermost line of the code's own files in the newest stack that the log has."""
        with self.log.open("rb") as log:
            log.seek(max(begins, log.seek(0, os.SEEK_END) - 200_000))
            text = log.read().decode(errors="replace")
        current = re.split(r"^(?:Current thread|Thread) .*$", text, flags=re.MULTILINE)
        # The main thread stands last.
        for stack in reversed(current[1:]):
            for file, line, name in re.findall(r'File "(.+)", line (\d+) in (\S+)', stack):
                if self._code is not None and Path(file).is_relative_to(self._code):
                    return f"{Path(file).relative_to(self._code)}, line {line}, in {name}"
        return ""

    def _kill(self) -> None:
        # Held still, it inherits all whose own parents end, so that nobody is out of sight.
        with suppress(ProcessLookupError):
            os.kill(self._child.pid, signal.SIGSTOP)
        for _ in range(100):
            left = [process for process in _with_children(self._child.pid)[1:] if _alive(process)]
            if not left:
                break
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=0.1)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.kill()
        self._child.wait()


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _with_children(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _used(pid: int) -> tuple[int, int]:
    """Bytes of memory, and the number of processes and threads, of a process and all below it."""
    memory = tasks = 0
    for process in _with_children(pid):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            memory += process.memory_info().rss
            tasks += process.num_threads()
    return memory, tasks


def _error(words: str, kind: object, place: str, log: Path) -> Exception:
    at = f" ({place})" if place else ""
    sentence = words.rstrip(".")
    match kind:
        case "invalid":
            return InvalidInput(f"{sentence}{at}.")
        case "bad":
            return BadResult(f"{sentence}{at}.")
    return CustomCodeFailed(f"{sentence}{at}. What it printed: {log}")
