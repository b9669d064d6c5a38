"""A forked process is like a fresh one: nothing leaks in, out, or past its end. Real fork servers, no Prefect."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from adapters.prefect.warm_worker.server_handle import ForkedProcess, ForkServer

pytestmark = pytest.mark.processes

LOG = logging.getLogger("tests.fork-server")
DEADLINE_S = 30

Story = Callable[["Server"], Awaitable[None]]


class Server:
    """A running fork server whose children run pieces of code in one folder."""

    def __init__(self, handle: ForkServer, folder: Path) -> None:
        self.handle = handle
        self.folder = folder
        self._pieces = 0

    async def start(self, code: str, *arguments: str, **environment: str) -> tuple[ForkedProcess, Path]:
        """The process that runs this code now, and the file that its output goes to."""
        self._pieces += 1
        module = f"piece_{self._pieces}"
        (self.folder / f"{module}.py").write_text(code)
        output = self.folder / f"{module}.out"
        with output.open("wb") as file:
            process = await self.handle.fork(file.fileno(), file.fileno())
        assert process is not None
        surroundings = {"PATH": os.environ["PATH"], **environment}
        process.run(module, *arguments, environment=surroundings, folder=self.folder)
        return process, output

    async def run(self, code: str, *arguments: str, **environment: str) -> tuple[int, str]:
        """The code's exit code and output."""
        process, output = await self.start(code, *arguments, **environment)
        return await process.wait(), output.read_text()


def tell(folder: Path, story: Story, *modules: str) -> None:
    async def told() -> None:
        async with asyncio.timeout(DEADLINE_S), ForkServer(modules, folder, LOG) as handle:
            await story(Server(handle, folder))

    asyncio.run(told())


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_run_has_the_environment_folder_and_arguments_that_it_was_given_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_WORKER", "1")

    async def story(server: Server) -> None:
        code = """
import os, subprocess, sys
print(sorted(os.environ), os.getcwd(), sys.argv[1:], sys.path[0], repr(sys.stdin.read()), __name__)
print(subprocess.run(["env"], capture_output=True, text=True).stdout.count("OF_THE_RUN=2"))
print(sorted(os.listdir("/proc/self/fd")))
"""
        exit_code, output = await server.run(code, "a", "b", OF_THE_RUN="2")
        assert exit_code == 0
        variables, compiled_code_sees_them, files = output.splitlines()
        assert variables == f"['OF_THE_RUN', 'PATH'] {tmp_path} ['a', 'b'] {tmp_path} '' __main__"
        assert compiled_code_sees_them == "1"
        assert files == "['0', '1', '2', '3']"  # 3 is the listing itself

    tell(tmp_path, story, "json")


@pytest.mark.parametrize(
    ("code", "expected", "says"),
    [
        ("print('done')", 0, "done"),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('no disk')", 1, "no disk"),
        ("raise ValueError('seven')", 1, "ValueError: seven"),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
        ("import os; os.abort()", -6, ""),
        ("import atexit; atexit.register(print, 'last words')", 0, "last words"),
        (
            "import threading, time; threading.Thread(target=lambda: (time.sleep(0.1), print('waited for'))).start()",
            0,
            "waited for",
        ),
    ],
)
def test_a_run_ends_as_a_fresh_process_would(tmp_path: Path, code: str, expected: int, says: str) -> None:
    async def story(server: Server) -> None:
        exit_code, output = await server.run(code)
        assert exit_code == expected
        assert says in output

    tell(tmp_path, story)


def test_what_a_run_has_opened_stays_open_until_its_very_end(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        code = """
import atexit, os
files = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]
atexit.register(lambda: print(len([os.fstat(file) for file in files])))
"""
        assert await server.run(code) == (0, "20\n")

    tell(tmp_path, story)


def test_a_run_reacts_to_signals_as_a_fresh_process_does(tmp_path: Path) -> None:
    code = """
import os, signal
assert os.getsid(0) == os.getpgid(0) == os.getpid()
print({number: str(signal.getsignal(number)) for number in signal.valid_signals()}, signal.pthread_sigmask(0, ()))
"""
    fresh = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, start_new_session=True, check=True
    )

    async def story(server: Server) -> None:
        assert await server.run(code) == (0, fresh.stdout)
        waiting, _ = await server.start("import time; time.sleep(60)")
        os.killpg(waiting.pid, signal.SIGTERM)
        assert await waiting.wait() == -signal.SIGTERM

    tell(tmp_path, story)


def test_what_one_run_imports_and_changes_no_other_run_sees_and_edited_code_is_picked_up(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        (tmp_path / "method.py").write_text("loss = 1")
        code = "import json, method; print(method.loss, hasattr(json, 'mine')); json.mine = 1"
        assert await server.run(code) == (0, "1 False\n")
        (tmp_path / "method.py").write_text("loss = 22")
        assert await server.run(code) == (0, "22 False\n")

    tell(tmp_path, story, "json")


def test_every_run_has_random_numbers_of_its_own(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        code = "import random, numpy; print(random.random()); print(numpy.random.rand())"
        first, second = [(await server.run(code))[1].split() for _ in range(2)]
        assert not set(first) & set(second)

    tell(tmp_path, story, "numpy")


def test_what_is_imported_already_is_not_imported_again(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        code = "import sys; print('decimal' in sys.modules, 'adapters' in sys.modules)"
        assert await server.run(code) == (0, "True False\n")

    tell(tmp_path, story, "decimal")


def test_a_runs_memory_is_given_back_at_its_end(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        await server.run("")
        assert server.handle.pid is not None
        process = psutil.Process(server.handle.pid)
        before = process.memory_info().rss
        exit_code, _ = await server.run("held = bytearray(200_000_000); held[::4096] = b'x' * len(held[::4096])")
        assert exit_code == 0
        assert process.memory_info().rss < before + 20_000_000
        assert process.children() == []

    tell(tmp_path, story)


def test_what_a_run_started_ends_with_it(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        code = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid)"
        _, output = await server.run(code)
        await until(lambda: gone(int(output)))

    tell(tmp_path, story)


def test_two_runs_go_side_by_side(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        wait_for_the_other = """
import pathlib, sys, time
mine, other = map(pathlib.Path, sys.argv[1:])
mine.touch()
while not other.exists(): time.sleep(0.01)
"""
        one, _ = await server.start(wait_for_the_other, "one", "two")
        two, _ = await server.start(wait_for_the_other, "two", "one")
        assert (await one.wait(), await two.wait()) == (0, 0)

    tell(tmp_path, story)


def test_a_process_that_is_not_told_to_run_anything_just_ends(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        process = await server.handle.fork()
        assert process is not None
        process.close()
        await until(lambda: gone(process.pid))

    tell(tmp_path, story)


def test_when_the_fork_server_is_killed_its_runs_end_and_are_told_and_another_takes_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(server: Server) -> None:
        with_a_child = (
            "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True); import time; time.sleep(60)"
        )
        run, output = await server.start(with_a_child)
        await until(lambda: output.read_text() != "")
        first = server.handle.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert await run.wait() == -signal.SIGKILL
        await until(lambda: gone(run.pid) and gone(int(output.read_text())))
        assert await server.run("print('again')") == (0, "again\n")
        assert server.handle.pid != first

    with caplog.at_level(logging.WARNING):
        tell(tmp_path, story)
    assert "another is starting" in caplog.text


def test_a_run_has_the_code_as_it_is_now_although_it_was_imported_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "of_ours.py").write_text("EDITION = 'first'")
    code = "import sys; was = 'of_ours' in sys.modules; import of_ours; print(was, of_ours.EDITION)"

    async def story(server: Server) -> None:
        assert await server.run(code) == (0, "True first\n")
        first = server.handle.pid
        waiting, output = await server.start(f"{code}; sys.stdout.flush(); import time; time.sleep(60)")
        await until(lambda: output.read_text() != "")
        (tmp_path / "of_ours.py").write_text("EDITION = 'second'")
        assert await server.handle.fork() is None  # a run still needs it: the next one starts as a fresh process
        assert server.handle.pid == first
        os.kill(waiting.pid, signal.SIGKILL)
        assert await waiting.wait() == -signal.SIGKILL
        assert await server.run(code) == (0, "True second\n")
        assert server.handle.pid != first

    tell(tmp_path, story, "of_ours")


def test_a_fork_server_and_its_runs_do_not_outlive_a_killed_worker(tmp_path: Path) -> None:
    worker = f"""
import asyncio, logging, os, pathlib
from adapters.prefect.warm_worker.server_handle import ForkServer
async def main():
    async with ForkServer([], pathlib.Path(), logging.getLogger()) as server:
        run = await server.fork()
        run.run("long", environment=os.environ, folder=pathlib.Path({str(tmp_path)!r}))
        print(server.pid, run.pid, flush=True)
        await run.wait()
asyncio.run(main())
"""
    (tmp_path / "long.py").write_text("import time; time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", worker], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        server, run = map(int, process.stdout.readline().split())
        assert not gone(server)
        assert not gone(run)
        process.kill()
    asyncio.run(until(lambda: gone(server) and gone(run)))


def test_closing_leaves_runs_that_were_told_to_end_a_moment_to_do_so(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        code = "import signal, time; signal.signal(15, lambda *_: (time.sleep(0.3), print('goodbye'), exit(0)))"
        run, output = await server.start(code + "; print('here', flush=True); time.sleep(60)")
        await until(lambda: output.read_text() != "")
        os.kill(run.pid, signal.SIGTERM)
        run.close()

    tell(tmp_path, story)
    [output] = tmp_path.glob("*.out")
    assert output.read_text() == "here\ngoodbye\n"


def test_closing_leaves_no_process_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.prefect.warm_worker.server_handle._STOP_GRACE_S", 0.1)
    left: list[int] = []

    async def story(server: Server) -> None:
        run, output = await server.start("print(1, flush=True); import time; time.sleep(60)")
        await until(lambda: output.read_text() != "")
        assert server.handle.pid is not None
        left.extend((server.handle.pid, run.pid))
        run.close()

    tell(tmp_path, story)
    asyncio.run(until(lambda: all(map(gone, left))))


def test_nobody_else_can_reach_the_fork_server(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        await server.run("")
        sockets = psutil.Process(server.handle.pid).net_connections(kind="all")
        assert [socket.laddr for socket in sockets if socket.laddr] == []

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("module", "code", "why"),
    [
        (
            "starts_a_thread",
            "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
            "started 1 thread",
        ),
        ("numpy", "def ones(shape): raise RuntimeError('not in a forked process')", "ended with exit code 1"),
        ("ends", "import os; os._exit(1)", "ended several times before it was ready"),
        ("raises", "raise ValueError('no such option')", "ended several times before it was ready"),
    ],
)
def test_without_a_sound_fork_server_there_is_one_sentence_and_no_forked_process(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    module: str,
    code: str,
    why: str,
) -> None:
    (tmp_path / f"{module}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    async def story(server: Server) -> None:
        assert await server.handle.fork() is None
        assert await server.handle.fork() is None

    with caplog.at_level(logging.WARNING):
        tell(tmp_path, story, module)
    [sentence] = [record.getMessage() for record in caplog.records if record.name == LOG.name]
    assert why in sentence
    assert sentence.endswith("Each run starts as a fresh process.")


def test_a_module_that_is_not_there_costs_nothing_but_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(server: Server) -> None:
        assert await server.run("print(1)") == (0, "1\n")

    with caplog.at_level(logging.INFO):
        tell(tmp_path, story, "no_such_library")
    assert "could not import no_such_library" in caplog.text


def test_a_fork_server_that_hangs_costs_a_run_its_warm_start_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("adapters.prefect.warm_worker.server_handle._FORK_DEADLINE_S", 2)

    async def story(server: Server) -> None:
        await server.run("")
        assert server.handle.pid is not None
        os.kill(server.handle.pid, signal.SIGSTOP)
        assert await server.handle.fork() is None
        os.kill(server.handle.pid, signal.SIGCONT)
        assert await server.run("print('awake')") == (0, "awake\n")

    tell(tmp_path, story)
    assert "did not answer in time" in caplog.text
