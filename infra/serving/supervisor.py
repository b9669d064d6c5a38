"""Starts the Prefect server and workers, watches over them, and leaves nothing behind."""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import IO

import psutil

from adapters.machines.slots import slots_of
from domain.catalogue.method_spec import Backend
from domain.errors import InvalidSettings, PrefectUnavailable
from infra.protection.closing import close_to_others
from infra.protection.openness import must_be_the_operators
from infra.serving.page.place import must_be_safe, url_of
from infra.serving.prefect_environment import clean_environment, prefect_environment, server_environment
from infra.settings import CHECKOUT, Settings

_START_DEADLINE_S = 180  # a slow machine compiles what it imports for the first time
_STOP_GRACE_S = 8
_LOOK_EVERY_S = 0.5
_NOT_AGAIN_WITHIN_S = 5

SERVER, PAGE = "prefect-server", "page"


def worker_process(backend: Backend, number: int = 0) -> str:
    """What the worker of a backend's slot is called, and its log."""
    return f"worker-{backend}-{number + 1}" if number else f"worker-{backend}"


@dataclass(frozen=True)
class _Started:
    popen: subprocess.Popen[bytes]
    arguments: Sequence[str]
    environment: dict[str, str]
    not_before: float


@dataclass
class Supervisor:
    """The processes of one `tmm up`, `tmm worker` or `tmm demo`. Their output goes to `<home>/logs`.

    Use it in a `with`: whatever happens inside, on leaving every process that it started, and their children, are
    stopped: first asked, then made to.
    """

    settings: Settings
    say: Callable[[str], None]
    _processes: dict[str, "_Started"] = field(default_factory=dict)
    _logs: dict[str, IO[bytes]] = field(default_factory=dict)
    _sockets: dict[str, socket.socket] = field(default_factory=dict)

    def __enter__(self) -> "Supervisor":
        close_to_others(self.settings, thoroughly=True)
        must_be_the_operators(self.settings, thoroughly=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start_server(self, *, preferred_port: int = 0) -> str:
        """Start a Prefect server on a free port; its API address. Returns before it answers.

        Raises `InvalidSettings` where it cannot be served at TMM_PREFECT_HOST.
        """
        host = self.settings.prefect_host
        # The server is handed the socket itself: no other process can come between finding a free port and using it.
        bound = self._sockets[SERVER] = bound_socket(host, preferred_port)
        api_url = f"http://{host}:{bound.getsockname()[1]}/api"
        self._start(SERVER, ["server", str(bound.fileno())], server_environment(self.settings, api_url))
        return api_url

    def start_page(self, api_url: str | None) -> str:
        """Start the page, on a free port if its own is taken; its address. Returns before it answers.

        Raises `InvalidSettings` where it cannot be served at TMM_WEB_HOST, or not safely.
        """
        must_be_safe(self.settings)
        bound = self._sockets[PAGE] = bound_socket(
            self.settings.web_host, self.settings.web_port, what="the page", setting="TMM_WEB"
        )
        if (port := bound.getsockname()[1]) != self.settings.web_port and self.settings.web_port:
            self.say(f"Port {self.settings.web_port} is taken, so the page is at port {port}.")
        environment = {**prefect_environment(self.settings, api_url), **self.settings.as_environment()}
        self._start(PAGE, ["page", str(bound.fileno())], environment)
        return url_of(self.settings, port)

    def await_server(self, api_url: str) -> None:
        """Return when the server answers. Raises `PrefectUnavailable` if it stays silent."""
        deadline = time.monotonic() + _START_DEADLINE_S
        while time.monotonic() < deadline:
            self.must_all_run()
            with (
                contextlib.suppress(OSError, urllib.error.URLError),
                urllib.request.urlopen(f"{api_url}/health", timeout=2),
            ):
                return
            time.sleep(0.1)
        raise PrefectUnavailable(
            f"The Prefect server did not answer within {_START_DEADLINE_S} seconds; its log: {self.log(SERVER)}"
        )

    def start_worker(self, backend: Backend, api_url: str, *, offline: bool = False) -> str:
        """Start a worker for each slot of a backend, which take runs as soon as server and pool are there.

        `offline` keeps the Hugging Face libraries off the network. Returns the first worker's name in Prefect.
        """
        environment = {
            **prefect_environment(self.settings, api_url),
            **self.settings.as_environment(),
            "TMM_PREFECT_DATABASE_URL": "",  # the server's alone
            # The pool's command names no interpreter, because pools are shared by machines: this one's comes first.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "TOKENIZERS_PARALLELISM": "false",
            **({"HF_HUB_OFFLINE": "1"} if offline else {}),
        }
        name = f"{backend}-{socket.gethostname()}-{os.getpid()}"
        for number, slot in enumerate(slots_of(backend, asked=self.settings.slots)):
            # For adding and deleting methods beside the trainings, one worker of a machine is enough.
            parts = ["training"] if number else ["training", "catalogue"]
            arguments = ["worker", backend, f"{name}-{number + 1}" if number else name, *parts]
            self._start(worker_process(backend, number), arguments, environment | slot.environment)
        return name

    def has_worker(self, backend: Backend) -> bool:
        """Whether a worker of ours serves the backend."""
        return worker_process(backend) in self._processes

    def watch(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Call `meanwhile` every now and then until interrupted; start again whatever ends by itself.

        What `meanwhile` asks of a server that is gone is answered by the one that is started again meanwhile.
        """
        with self._starting_again():
            while True:
                meanwhile()
                time.sleep(_LOOK_EVERY_S)

    @contextmanager
    def _starting_again(self) -> Iterator[None]:
        over = threading.Event()

        def look() -> None:
            while not over.wait(_LOOK_EVERY_S):
                for name, process in list(self._processes.items()):
                    if (code := process.popen.poll()) is not None and time.monotonic() > process.not_before:
                        self.say(f"The process {name} ended by itself (exit {code}) and is started again.")
                        self._start_again(name, process)

        looking = threading.Thread(target=look, name="starting-again", daemon=True)
        looking.start()
        try:
            yield
        finally:
            over.set()
            looking.join()

    def _start_again(self, name: str, process: _Started) -> None:
        try:
            self._start(name, process.arguments, process.environment)
        except OSError as error:  # no memory, no process or no file to be had at this moment
            self.say(f"The process {name} could not be started: {error}. It is tried again.")
            self._processes[name] = replace(process, not_before=time.monotonic() + _NOT_AGAIN_WITHIN_S)

    def must_all_run(self) -> None:
        """Raise `PrefectUnavailable` if a process has ended by itself."""
        for name, process in self._processes.items():
            if (code := process.popen.poll()) is not None:
                raise PrefectUnavailable(f"The process {name} ended by itself (exit {code}); its log: {self.log(name)}")

    def log(self, name: str) -> Path:
        return self.settings.logs / f"{name}.log"

    def stop(self) -> None:
        """Stop everything, the workers first: their last words still reach the server.

        A second interrupt while stopping does not leave anything behind either.
        """
        with _interrupts_ignored():
            self.stop_workers()
            _end([started.popen for started in self._processes.values()])
            self._processes.clear()
            for bound in self._sockets.values():
                bound.close()
            self._sockets.clear()
            for log in self._logs.values():
                log.close()
            self._logs.clear()

    def stop_workers(self) -> None:
        """Stop the workers and the runs that they carry; the server stays."""
        workers = [name for name in self._processes if name not in (SERVER, PAGE)]
        _end([self._processes[name].popen for name in workers])
        for name in workers:
            del self._processes[name]

    def _start(self, name: str, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self.log(name).parent.mkdir(parents=True, exist_ok=True)
        self.settings.prefect_home.mkdir(parents=True, exist_ok=True)
        if name not in self._logs:
            self._logs[name] = self.log(name).open("wb")
        popen = subprocess.Popen(
            [sys.executable, "-m", "infra.serving.prefect_process", *arguments],
            env=clean_environment() | {"PYTHONPATH": _python_path()} | environment,
            cwd=self.settings.prefect_home,  # Prefect reads settings from files of the folder it is started in
            stdin=subprocess.DEVNULL,
            stdout=self._logs[name],
            stderr=subprocess.STDOUT,
            pass_fds=[self._sockets[name].fileno()] if name in self._sockets else [],
            start_new_session=True,  # a Ctrl-C in the terminal reaches us alone; we stop the others in order
        )
        self._processes[name] = _Started(popen, arguments, environment, time.monotonic() + _NOT_AGAIN_WITHIN_S)


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


def _end(started: Sequence[subprocess.Popen[bytes]]) -> None:
    """End processes with all their children: first asked, then made to."""
    # A flow run's process may have a session of its own, so it is looked for while its parent still lives.
    tree = [process for popen in started for process in _with_children(popen.pid)]
    for process in tree:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(tree, timeout=_STOP_GRACE_S)
    for process in alive:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=_STOP_GRACE_S)
    for popen in started:
        popen.wait()


def _with_children(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _python_path() -> str:
    """This checkout first, for processes that are started in another folder."""
    return os.pathsep.join([str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])])


def bound_socket(
    host: str, preferred_port: int, *, what: str = "Prefect", setting: str = "TMM_PREFECT"
) -> socket.socket:
    """A listening socket at this port, or at a free one if it is taken. Raises `InvalidSettings`."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, preferred_port))
        bound.listen()
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE and preferred_port:
            return bound_socket(host, 0, what=what, setting=setting)
        raise InvalidSettings(
            f"{setting}_HOST, {setting}_PORT: {what} cannot be served at {host}:{preferred_port} "
            f"({error.strerror or error}). Name an address of this machine."
        ) from error
    return bound
