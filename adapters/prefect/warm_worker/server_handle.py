"""The worker's side of the fork server: starts it, asks it for processes, and starts another when it is gone."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

_FORK_SERVER = Path(__file__).with_name("fork_server.py")
_PROBE = "adapters.prefect.warm_worker.probe"
_START_DEADLINE_S = 120
_FORK_DEADLINE_S = 20
_STOP_GRACE_S = 5
_SETTLE_S = 1
_STARTS_IN_A_ROW = 3


class ForkedProcess:
    """A process that waits to be told what to run. Has what Prefect wants of a process: `pid` and `returncode`."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._reader = reader
        self._writer = writer

    def run(self, module: str, *arguments: str, environment: Mapping[str, str], folder: Path) -> None:
        """Run a module as `python -m` would, in this environment and folder. Returns at once."""
        request = {
            "module": module,
            "arguments": arguments,
            "environment": dict(environment),
            "folder": str(folder),
        }
        self._writer.write(json.dumps(request).encode() + b"\n")

    async def wait(self) -> int:
        """Its exit code, or minus the signal that ended it; -9 when the fork server is gone and it with it."""
        line = b""
        with contextlib.suppress(OSError):
            line = await self._reader.readline()
        if not line:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)  # the kernel has done so; this is for what the run started itself
        self.returncode = int(line or -signal.SIGKILL)
        self.close()
        return self.returncode

    def close(self) -> None:
        """Let go of it: without anything to run, it ends by itself."""
        self._writer.close()


@dataclass(frozen=True)
class _Ready:
    control: socket.socket
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def is_gone(self) -> bool:
        """Whether its end explains that it did not answer."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.gone.wait(), _SETTLE_S)
        return self.gone.is_set()


@dataclass
class ForkServer:
    """A fork server for as long as the `async with` lasts. Its processes end with it, after a moment to end well.

    `ours` is the folder of code that people edit: a fork server that has imported an older state of it is replaced.

    It is started at once and gets ready meanwhile. When it ends by itself, another is started; when that does not
    help, or its start-up check fails, `fork` gives None from then on and the log says why, once.
    """

    modules: Sequence[str]
    ours: Path
    log: "logging.Logger | logging.LoggerAdapter[logging.Logger]"
    _ready: "asyncio.Future[_Ready | None]" = field(init=False)
    _keeper: "asyncio.Task[None]" = field(init=False)
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)
    _forked: set[int] = field(init=False, default_factory=set)

    async def __aenter__(self) -> Self:
        self._ready = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.create_task(self._keep())
        await asyncio.sleep(0)  # it starts now, however busy the caller is
        return self

    async def __aexit__(self, *_: object) -> None:
        # Who stops a worker has told its runs to end; what they still have to say, they say now.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_GRACE_S):
                while any(map(_lives, self._forked)):
                    await asyncio.sleep(0.05)
        self._keeper.cancel()
        await asyncio.wait([self._keeper])

    @property
    def pid(self) -> int | None:
        """The present fork server's process id."""
        return self._process.pid if self._process is not None else None

    async def fork(self, output: int | None = 1, error_output: int | None = 2) -> ForkedProcess | None:
        """A new process with these outputs (None: thrown away), or None when there can be none now."""
        try:
            async with asyncio.timeout(_FORK_DEADLINE_S + (0 if self._ready.done() else _START_DEADLINE_S)):
                while (ready := await asyncio.shield(self._ready)) is not None:
                    if (process := await self._fork(ready, output, error_output)) is not None:
                        return process
                    if not await ready.is_gone():
                        break
        except TimeoutError:
            self.log.warning("The fork server did not answer in time; this run starts as a fresh process.")
        return None

    async def _keep(self) -> None:
        try:
            failed = 0
            while failed < _STARTS_IN_A_ROW:
                if await self._one_life():
                    failed = 0
                    self.log.warning("The fork server ended, or the service's code changed; another is starting.")
                else:
                    failed += 1
            self._give_up("the fork server ended several times before it was ready")
        except _Unusable as reason:
            self._give_up(str(reason))
        except Exception as error:  # whatever it is, no run may wait for a server that nobody starts
            self._give_up(f"{type(error).__name__}: {error}")

    def _give_up(self, reason: str) -> None:
        self.log.warning("There is no warm start here: %s. Each run starts as a fresh process.", reason.rstrip("."))
        if self._ready.done():
            self._ready = asyncio.get_running_loop().create_future()
        self._ready.set_result(None)

    async def _one_life(self) -> bool:
        """Start a server and stay until it is gone; was it ever ready? Raises `_Unusable`."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            command = [
                sys.executable,
                str(_FORK_SERVER),
                str(theirs.fileno()),
                str(os.getpid()),
                str(self.ours),
                *self.modules,
            ]
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )
        try:
            with ours:
                ready = await self._readiness(ours)
                if ready is None:
                    return False
                self._ready.set_result(ready)
                with contextlib.suppress(OSError):
                    await asyncio.get_running_loop().sock_recv(ours, 1)  # nothing comes but its end
                self._ready = asyncio.get_running_loop().create_future()
                ready.gone.set()
                return True
        finally:
            await _ended(self._process)

    async def _readiness(self, control: socket.socket) -> _Ready | None:
        try:
            async with asyncio.timeout(_START_DEADLINE_S):
                if (told := await _line(control)) is None:
                    return None
                if "refused" in told:
                    raise _Unusable(told["refused"])
                ready = _Ready(control)
                await self._probe(ready)
        except TimeoutError:
            raise _Unusable(f"it was not ready within {_START_DEADLINE_S} seconds") from None
        for module in told["missing"]:
            self.log.info("The fork server could not import %s; runs that need it import it themselves.", module)
        self.log.info("The fork server %s is ready after %s s.", told["pid"], told["seconds"])
        return ready

    async def _probe(self, ready: _Ready) -> None:
        """Let one child compute before any run does: a library that cannot stand the fork hangs or fails there."""
        child = await self._fork(ready, 1, 2)
        if child is None:
            raise _Unusable("it cannot fork")
        child.run(_PROBE, environment=os.environ, folder=Path.cwd())
        if (code := await child.wait()) != 0:
            raise _Unusable(f"a forked process that computes ended with exit code {code}")

    async def _fork(self, ready: _Ready, output: int | None, error_output: int | None) -> ForkedProcess | None:
        ours, theirs = socket.socketpair()
        with theirs, open(os.devnull, "wb") as nowhere:
            outputs = [number if number is not None else nowhere.fileno() for number in (output, error_output)]
            try:
                socket.send_fds(ready.control, [b"\0"], [*outputs, theirs.fileno()])
            except OSError:
                ours.close()
                return None
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        with contextlib.ExitStack() as unless_it_answers:
            unless_it_answers.callback(writer.close)
            with contextlib.suppress(OSError):
                if line := await reader.readline():
                    unless_it_answers.pop_all()
                    self._forked = {*filter(_lives, self._forked), int(line)}
                    return ForkedProcess(int(line), reader, writer)
        return None


class _Unusable(Exception):
    """The start-up check failed: there is no point in starting another."""


async def _line(control: socket.socket) -> dict[str, Any] | None:
    """What the server tells about itself; None when it ended before."""
    buffer = b""
    while not buffer.endswith(b"\n"):
        try:
            more = await asyncio.get_running_loop().sock_recv(control, 65536)
        except OSError:
            return None
        if not more:
            return None
        buffer += more
    told: dict[str, Any] = json.loads(buffer)
    return told


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a server whose socket is closed; make it end if it does not."""
    try:
        await asyncio.shield(asyncio.to_thread(process.wait, _STOP_GRACE_S))
    except (subprocess.TimeoutExpired, asyncio.CancelledError):
        process.kill()
        process.wait()
