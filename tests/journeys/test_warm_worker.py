"""Our worker with its warm start: what people see of a run is the same, whatever becomes of the processes."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID, uuid4

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling
from prefect.workers.process import ProcessWorker

from adapters.prefect.asking import ask_while_something_happens
from adapters.prefect.client import prefect_client
from infra.serving.prefect_environment import prefect_environment
from infra.settings import CHECKOUT
from tests.journeys.conftest import Machine

pytestmark = pytest.mark.journey

DEADLINE_S = 60

FLOW = """
import os, signal, sys, time
from pathlib import Path
from prefect import flow, get_run_logger, task
import psutil

FOLDER = Path(__file__).parent
EDITION = "first"

def by_hook(kind):
    def hook(flow, flow_run, state):
        (FOLDER / f"{flow_run.id}.{kind}").write_text(f"{EDITION} {os.getppid()} {state.name}")
    return hook

@task
def say(words):
    get_run_logger().info(words)

@flow(on_cancellation=[by_hook("cancelled")], on_crashed=[by_hook("crashed")], log_prints=True)
def tiny(do="nothing"):
    from prefect.runtime import flow_run
    started_by = " ".join(psutil.Process(os.getppid()).cmdline())
    warm = "fork_server" in started_by
    print(f"edition {EDITION}, warm {warm}, files {os.listdir()}, threads {os.environ.get('OMP_NUM_THREADS')}")
    say("said in a task")
    (FOLDER / f"{flow_run.id}.started").write_text(f"{EDITION} {os.getpid()} {os.getppid()} {warm}")
    if do == "fail":
        raise ValueError("the loss is not a number")
    if do == "leave":
        os._exit(7)
    if do == "wait":
        deadline = time.monotonic() + 120
        while not (FOLDER / f"{flow_run.id}.go").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
"""


@dataclass
class Place:
    """The journeys' Prefect server, and a folder with the flow above."""

    client: SyncPrefectClient
    machine: Machine
    folder: Path

    def pool(self) -> tuple[str, UUID]:
        """A pool of its own with one deployment of the flow: its name, and the deployment."""
        pool = f"pool-{uuid4().hex[:8]}"
        template = ProcessWorker.get_default_base_job_template()
        self.client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=template))
        return pool, self.client.create_deployment(
            flow_id=self.client.create_flow_from_name("tiny"),
            name=pool,
            entrypoint="tiny.tiny",
            work_pool_name=pool,
        )

    @contextlib.contextmanager
    def worker(self, ready: str = "is ready after", **more: str) -> "Iterator[Worker]":
        """Our worker on a pool of its own, once it is ready."""
        pool, deployment = self.pool()
        log = self.folder / f"{pool}.log"
        environment = {
            **self.machine.environment,
            **prefect_environment(self.machine.settings, self.machine.api_url),
            "TMM_WORKER": "warm",
            "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(self.folder)]),
            **more,
        }
        command = [sys.executable, "-m", "tests.journeys.tiny_worker", pool, pool]
        with log.open("wb") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
        try:
            until(lambda: ready in log.read_text() and "started!" in log.read_text())
            yield Worker(process, deployment)
        finally:
            process.terminate()
            process.wait(DEADLINE_S)

    def start(self, worker: "Worker", do: str = "nothing") -> UUID:
        return self.client.create_flow_run_from_deployment(worker.deployment, parameters={"do": do}).id

    def read(self, run: UUID) -> FlowRun:
        return self.client.read_flow_run(run)

    def end(self, run: UUID) -> tuple[str, str]:
        """How the run ended: the state's name and message."""

        def ended() -> bool:
            state = self.read(run).state
            return state is not None and state.is_final()

        until(ended)
        state = self.read(run).state
        assert state is not None
        return str(state.name), state.message or ""

    def started(self, run: UUID) -> tuple[str, int, int, bool]:
        """Waits for the first line: the flow's edition, its process, the parent process, and whether it is warm."""
        file = self.folder / f"{run}.started"
        until(lambda: file.exists() and file.read_text() != "")
        edition, process, parent, warm = file.read_text().split()
        return edition, int(process), int(parent), warm == "True"

    def told_by_hook(self, run: UUID, kind: str) -> str:
        file = self.folder / f"{run}.{kind}"
        until(lambda: file.exists() and file.read_text() != "")
        return file.read_text()

    def go(self, run: UUID) -> None:
        (self.folder / f"{run}.go").touch()

    def logs(self, run: UUID, *, until_there: str) -> str:
        def read() -> str:
            lines = self.client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run])), limit=200, offset=0)
            return "\n".join(line.message for line in lines)

        until(lambda: until_there in read())
        return read()


@dataclass
class Worker:
    """A worker's process, and the deployment whose runs it takes."""

    process: "subprocess.Popen[bytes]"
    deployment: UUID

    @property
    def fork_server(self) -> int:
        [child] = [
            child for child in psutil.Process(self.process.pid).children() if "fork_server" in str(child.cmdline())
        ]
        return child.pid


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture(scope="module")
def place(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("flows")
    (folder / "tiny.py").write_text(FLOW)
    with prefect_client(machine.api_url) as client:
        yield Place(client, machine, folder)


@pytest.fixture(scope="module")
def worker(place: Place) -> Iterator[Worker]:
    with place.worker() as worker:
        yield worker


def test_a_run_starts_warm_and_prefect_sees_its_logs_and_its_end(place: Place, worker: Worker) -> None:
    run = place.start(worker)
    assert place.end(run)[0] == "Completed"
    logs = place.logs(run, until_there="Finished in state Completed()")
    assert "edition first, warm True, files [], threads 1" in logs
    assert "said in a task" in logs
    assert place.started(run)[2] == worker.fork_server


def test_a_failed_run_fails_with_its_reason(place: Place, worker: Worker) -> None:
    run = place.start(worker, "fail")
    assert place.end(run) == ("Failed", "Flow run encountered an exception: ValueError: the loss is not a number")
    assert "Traceback" in place.logs(run, until_there="Finished in state Failed")


def test_a_run_whose_process_leaves_or_is_killed_is_crashed_and_its_hook_tells(place: Place, worker: Worker) -> None:
    left, killed = place.start(worker, "leave"), place.start(worker, "wait")
    os.kill(place.started(killed)[1], signal.SIGKILL)
    for run, code in ((left, 7), (killed, -9)):
        name, message = place.end(run)
        assert name == "Crashed"
        assert f"status code: {code}" in message
        assert place.told_by_hook(run, "crashed") == f"first {worker.fork_server} Crashed"


def test_a_cancelled_run_stops_and_its_hook_tells(place: Place, worker: Worker) -> None:
    run = place.start(worker, "wait")
    _, process, _, warm = place.started(run)
    assert warm
    place.client.set_flow_run_state(run, Cancelling(message="enough"))
    assert place.end(run)[0] == "Cancelled"
    assert gone(process)
    assert place.told_by_hook(run, "cancelled").startswith(f"first {worker.fork_server} Cancel")


def test_two_runs_go_side_by_side(place: Place, worker: Worker) -> None:
    one, two = place.start(worker, "wait"), place.start(worker, "wait")
    assert place.started(one)[1] != place.started(two)[1]
    place.go(one)
    place.go(two)
    assert {place.end(one)[0], place.end(two)[0]} == {"Completed"}


def test_when_the_fork_server_is_killed_its_runs_are_crashed_and_recorded_and_the_next_starts_warm(
    place: Place, worker: Worker
) -> None:
    runs = [place.start(worker, "wait"), place.start(worker, "wait")]
    processes = [place.started(run)[1] for run in runs]
    os.kill(worker.fork_server, signal.SIGKILL)
    for run in runs:
        assert place.end(run)[0] == "Crashed"
        assert place.told_by_hook(run, "crashed").endswith(" Crashed")
    assert all(map(gone, processes))
    after = place.start(worker)
    assert place.end(after)[0] == "Completed"
    assert place.started(after)[3]


def test_edited_flow_code_is_picked_up(place: Place, worker: Worker) -> None:
    (place.folder / "tiny.py").write_text(FLOW.replace('EDITION = "first"', 'EDITION = "second"'))
    try:
        run = place.start(worker, "leave")
        assert place.end(run)[0] == "Crashed"
        assert place.started(run)[0] == "second"
        assert place.told_by_hook(run, "crashed").startswith("second ")
    finally:
        (place.folder / "tiny.py").write_text(FLOW)


def test_no_run_outlives_its_worker_unseen_and_a_new_worker_goes_on(place: Place) -> None:
    with place.worker() as asked_to_stop:
        run = place.start(asked_to_stop, "wait")
        _, process, parent, _ = place.started(run)
        asked_to_stop.process.terminate()
        until(lambda: gone(process) and gone(parent) and gone(asked_to_stop.process.pid))
        assert place.end(run)[0] == "Crashed"
    with place.worker() as killed:
        after = place.start(killed)
        assert place.end(after)[0] == "Completed"
        _, process, parent, _ = place.started(place.start(killed, "wait"))
        killed.process.kill()
        until(lambda: gone(process) and gone(parent))


@pytest.mark.full
def test_with_a_prefect_that_we_do_not_know_runs_start_fresh_and_only_cancelling_is_slower(place: Place) -> None:
    with place.worker("it is made up. They start as fresh processes", UNKNOWN_PREFECT="1") as worker:
        done, failed, left = place.start(worker), place.start(worker, "fail"), place.start(worker, "leave")
        assert place.end(done)[0] == "Completed"
        assert place.end(failed) == (
            "Failed",
            "Flow run encountered an exception: ValueError: the loss is not a number",
        )
        assert place.end(left)[0] == "Crashed"
        assert place.started(done)[2:] == (worker.process.pid, False)
        _, process, _, _ = place.started(place.start(worker, "wait"))
        worker.process.terminate()
        until(lambda: gone(process) and gone(worker.process.pid))


def test_a_worker_with_room_asks_when_something_happens_in_its_own_pool(place: Place) -> None:
    (pool, deployment), (_, elsewhere) = place.pool(), place.pool()
    asked: list[float] = []
    room = SimpleNamespace(available_tokens=1)

    class Asked:
        _limiter = room

        async def get_and_submit_flow_runs(self) -> None:
            asked.append(time.monotonic())

    async def quiet() -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not asked or time.monotonic() - asked[-1] < 2:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)

    async def again(before: int) -> None:
        deadline = time.monotonic() + 2
        while len(asked) == before:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)

    async def listen() -> None:
        telling = asyncio.create_task(ask_while_something_happens(Asked(), pool, every_s=0.3))  # type: ignore[arg-type]  # a stand-in
        await quiet()  # it asks when it begins to listen, for a while
        before = len(asked)
        place.client.create_flow_run_from_deployment(elsewhere)
        await asyncio.sleep(2)  # in which it would have been told, as it is told of the next one
        assert len(asked) == before
        place.client.create_flow_run_from_deployment(deployment)
        await again(before)
        await quiet()
        before, room.available_tokens = len(asked), 0
        place.client.create_flow_run_from_deployment(deployment)
        await asyncio.sleep(1)  # its slots are taken, and it could take nothing
        assert len(asked) == before
        room.available_tokens = 1
        await again(before)
        telling.cancel()

    machine = place.machine
    with temporary_settings({PREFECT_API_URL: machine.api_url, PREFECT_API_AUTH_STRING: machine.password}):
        asyncio.run(listen())
