"""Starts the Prefect server and workers, watches over them, and leaves nothing behind."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

import psutil

from domain.errors import PrefectUnavailable, TrainingMethodError
from domain.method_spec import Backend
from infra.prefect_environment import clean_environment, prefect_environment
from infra.settings import Settings

_START_DEADLINE_S = 90
_STOP_GRACE_S = 8


@dataclass
class Supervisor:
    """The processes of one `tmm up`, `tmm worker` or `tmm demo`. Their output goes to `<home>/logs`.

    Use it in a `with`: whatever happens inside, on leaving every process that it started, and their children, are
    stopped: first asked, then made to.
    """

    settings: Settings
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _logs: list[IO[bytes]] = field(default_factory=list)

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start_server(self) -> str:
        """Start a Prefect server on a free local port; its API address. Returns before it answers."""
        port = _free_port()
        self._start(
            "prefect-server",
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            prefect_environment(self.settings),
        )
        return f"http://127.0.0.1:{port}/api"

    def await_server(self, api_url: str) -> None:
        """Return when the server answers. Raises `PrefectUnavailable` if it ends or stays silent."""
        deadline = time.monotonic() + _START_DEADLINE_S
        while time.monotonic() < deadline:
            self._must_run("prefect-server")
            with (
                contextlib.suppress(OSError, urllib.error.URLError),
                urllib.request.urlopen(f"{api_url}/health", timeout=2),
            ):
                return
            time.sleep(0.1)
        raise PrefectUnavailable(
            f"The Prefect server did not answer within {_START_DEADLINE_S} seconds; "
            f"its log: {self.log('prefect-server')}"
        )

    def start_worker(self, backend: Backend, api_url: str, *, offline: bool = False) -> None:
        """Start a worker for a backend's pool. `offline` keeps the Hugging Face libraries off the network."""
        environment = {
            **prefect_environment(self.settings, api_url),
            **self.settings.as_environment(),
            "TOKENIZERS_PARALLELISM": "false",
            **({"HF_HUB_OFFLINE": "1"} if offline else {}),
        }
        name = f"{backend}-{socket.gethostname()}-{os.getpid()}"
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", backend, "--type", "process"]
        self._start(f"worker-{backend}", [*command, "--name", name], environment)

    def watch(self) -> None:
        """Return when interrupted (SIGINT or SIGTERM). Raises when a process ends by itself."""
        while True:
            for name in self._processes:
                self._must_run(name)
            time.sleep(0.5)

    def log(self, name: str) -> Path:
        return self.settings.home / "logs" / f"{name}.log"

    def stop(self) -> None:
        """Stop everything. A second interrupt while stopping does not leave anything behind either."""
        with _interrupts_ignored():
            tree = [process for started in self._processes.values() for process in _with_children(started.pid)]
            for started in self._processes.values():
                _signal(started.pid, signal.SIGTERM)
            # A flow run's process has a session of its own: it is asked as well, and whatever stays is made to go.
            for process in tree:
                _signal(process.pid, signal.SIGTERM)
            _, alive = psutil.wait_procs(tree, timeout=_STOP_GRACE_S)
            for process in alive:
                _signal(process.pid, signal.SIGKILL)
            psutil.wait_procs(alive, timeout=_STOP_GRACE_S)
            for started in self._processes.values():
                started.wait()
            self._processes.clear()
            for log in self._logs:
                log.close()
            self._logs.clear()

    def _start(self, name: str, command: Sequence[str], environment: dict[str, str]) -> None:
        self.log(name).parent.mkdir(parents=True, exist_ok=True)
        log = self.log(name).open("wb")
        self._logs.append(log)
        self._processes[name] = subprocess.Popen(
            command,
            env=clean_environment() | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C in the terminal reaches us alone; we stop the others in order
        )

    def _must_run(self, name: str) -> None:
        if (code := self._processes[name].poll()) is not None:
            raise TrainingMethodError(f"The process {name} ended by itself (exit {code}); its log: {self.log(name)}")


@contextmanager
def interrupts_raised() -> Iterator[None]:
    """SIGTERM ends us as Ctrl-C does: by `KeyboardInterrupt`, so that everything is stopped on the way out."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _with_children(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
