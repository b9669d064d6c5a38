"""One real Prefect server with one real worker for all journeys: `tmm up` on a data folder of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
import psutil
import pytest

from domain.audit.read_models import Run
from domain.errors import RunNotFound
from infra.serving.prefect_password import kept_password
from infra.serving.worker_kind import WorkerKind, why_fresh
from infra.settings import CHECKOUT, Settings
from infra.wiring import Installation

T = TypeVar("T")

_READY = "Press Ctrl-C"
SAMPLES = CHECKOUT / "infra" / "samples" / "sft-demo"


def eventually(look: Callable[[], T | None], *, within: float, what: str) -> T:
    """The first thing that `look` finds, within so many seconds."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError(f"not within {within} s: {what}")


@dataclass
class Machine:
    """A data folder, the commands in it, and a `tmm up` or `tmm worker` that may run on it."""

    home: Path
    backends: str = "cuda"
    more: dict[str, str] = field(default_factory=dict)
    up: "subprocess.Popen[bytes] | None" = None
    program: Sequence[str] = ("-m", "infra.main")

    @property
    def environment(self) -> dict[str, str]:
        # TMM_WORKER=stock in front of the test command runs every journey without the warm start.
        kept = {
            name: value
            for name, value in os.environ.items()
            if name == "TMM_WORKER" or not name.startswith(("PREFECT_", "TMM_"))
        }
        ours = {
            "TMM_HOME": str(self.home),
            "TMM_BACKENDS": self.backends,
            "TMM_PREFECT_PORT": "0",
            "PYTHONPATH": str(CHECKOUT),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",  # the small model gains nothing from more, and tests share their machine
        }
        return kept | ours | self.more

    @property
    def settings(self) -> Settings:
        named = {name.removeprefix("TMM_").lower(): value for name, value in self.more.items() if name[:4] == "TMM_"}
        return Settings(home=self.home, backends=self.backends, **named)  # type: ignore[arg-type]  # pydantic parses them

    @property
    def api_url(self) -> str:
        return str(json.loads((self.home / "prefect" / "server.json").read_bytes())["api_url"])

    @property
    def password(self) -> str:
        """What opens its Prefect, as `user:password`."""
        return self.more.get("PREFECT_API_AUTH_STRING") or kept_password(self.settings) or ""

    @property
    def kind(self) -> str:
        """How its worker starts runs: `warm`, or `stock` for fresh processes."""
        there = WorkerKind(self.environment.get("TMM_WORKER", WorkerKind.AUTO))
        return "stock" if why_fresh(there) else "warm"

    def tmm(self, *arguments: str, within: float = 120) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, *self.program, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a command that goes on; its output goes to a file in the data folder."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / f"{arguments[0]}.out").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, *self.program, *arguments],
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start_up(self) -> None:
        """`tmm up`, until its worker takes runs and its catalogue is there."""
        said = self.home / "up.out"
        before = said.read_text().count(_READY) if said.exists() else 0
        self.up = self.start("up")
        self.await_worker()
        eventually(lambda: said.read_text().count(_READY) > before, within=150, what="the catalogue")

    def await_worker(self) -> None:
        def online() -> bool:
            assert self.up is None or self.up.poll() is None, (self.home / "up.out").read_text()
            with Installation(self.settings) as tmm:
                return all(tmm.flow_runs.has_worker(backend) for backend in self.settings.backends)

        def answers() -> bool:
            try:
                return online()
            except AssertionError:
                raise
            except Exception:  # not yet
                return False

        eventually(answers, within=120, what="a worker that takes runs")

    def stop(self) -> None:
        """End `tmm up` as Ctrl-C does; nothing of it is left."""
        if self.up is not None:
            tree = [psutil.Process(self.up.pid), *psutil.Process(self.up.pid).children(recursive=True)]
            self.up.send_signal(signal.SIGINT)
            self.up.wait(60)
            _, alive = psutil.wait_procs(tree, timeout=10)
            self.up = None
            assert not alive

    def kill(self) -> None:
        """What a power cut does."""
        if self.up is not None:
            tree = [psutil.Process(self.up.pid), *psutil.Process(self.up.pid).children(recursive=True)]
            for process in tree:
                process.kill()
            psutil.wait_procs(tree, timeout=10)
            self.up.wait()
            self.up = None

    def processes(self, *words: str) -> list[psutil.Process]:
        """The living processes below `tmm up` whose command line has all the words."""
        assert self.up is not None
        found = []
        for process in psutil.Process(self.up.pid).children(recursive=True):
            try:
                line = " ".join(process.cmdline())
            except psutil.NoSuchProcess:
                continue
            if all(word in line for word in words):
                found.append(process)
        return found

    def flow_process(self, run_id: UUID) -> psutil.Process:
        """The process that carries a run."""
        file = self.home / "runs" / str(run_id) / "process.json"
        return psutil.Process(
            json.loads(eventually(lambda: file.exists() and file.read_bytes(), within=60, what="a process"))["pid"]
        )

    def known_run(self, run_id: UUID) -> Run | None:
        """The run, or None while it was not requested."""
        with suppress(RunNotFound):
            return self.run(run_id)
        return None

    def run(self, run_id: UUID) -> Run:
        with Installation(self.settings) as tmm:
            return tmm.trainings.one(run_id)

    def ended(self, run_id: UUID, *, within: float = 120) -> Run:
        """The run when it has ended."""

        def look() -> Run | None:
            run = self.known_run(run_id)
            return run if run is not None and run.finished_at is not None else None

        return eventually(look, within=within, what=f"an end of {run_id}")

    def reached(self, run_id: UUID, step: int) -> None:
        """Return when the training has taken so many steps."""
        file = self.home / "runs" / str(run_id) / "metrics.jsonl"
        eventually(lambda: file.exists() and len(file.read_text().splitlines()) >= step, within=90, what=f"step {step}")

    def ask(self, method: str, path: str, /, **json_fields: Any) -> httpx.Response:
        """Prefect's REST API, as a program meets it: with retries, because its SQLite answers 503 under load."""

        user, _, password = self.password.partition(":")

        def ask() -> httpx.Response | None:
            response = httpx.request(
                method,
                f"{self.api_url}{path}",
                json=None if method == "GET" else json_fields,
                auth=(user, password),
                timeout=90,
            )
            return None if response.status_code == 503 else response

        return eventually(ask, within=60, what=path)

    def prefect(self, method: str, path: str, /, **json_fields: Any) -> Any:
        """What Prefect's REST API answers."""
        response = self.ask(method, path, **json_fields)
        assert response.status_code < 400, response.text
        return response.json() if response.content else None

    def prefect_state(self, run_id: UUID) -> dict[str, Any]:
        state: dict[str, Any] = self.prefect("GET", f"/flow_runs/{run_id}")["state"]
        return state

    def ends_in_prefect(self, run_id: UUID, *, within: float = 60, after_retry: bool = False) -> dict[str, Any]:
        """The flow run's state when it is final; with `after_retry`, of its second attempt."""

        def look() -> dict[str, Any] | None:
            flow_run = self.prefect("GET", f"/flow_runs/{run_id}")
            state: dict[str, Any] = flow_run["state"]
            final = state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
            return state if final and (not after_retry or flow_run["run_count"] > 1) else None

        return eventually(look, within=within, what=f"a final state of {run_id}")

    def both_say(self, run_id: UUID, ours: str, prefects: str, *, within: float = 60) -> Run:
        """The run when the event store and Prefect agree on its end."""

        def look() -> Run | None:
            run = self.known_run(run_id)
            agree = run is not None and run.status == ours and self.prefect_state(run_id)["type"] == prefects
            return run if agree else None

        return eventually(look, within=within, what=f"{run_id}: {ours} here, {prefects} in Prefect")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that is trained on and measured in a moment."""
    folder = tmp_path_factory.mktemp("tiny")
    for name, rows in (("train.jsonl", 32), ("held_out.jsonl", 4)):
        lines = (SAMPLES / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:rows]))
    return folder


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A running `tmm up` that all journeys share."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    before = dict(os.environ)
    machine.start_up()
    yield machine
    machine.stop()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Another one, whose runs start as fresh processes."""
    stock = Machine(tmp_path_factory.mktemp("stock"), more={"TMM_WORKER": "stock"})
    stock.start_up()
    yield stock
    stock.stop()


@pytest.fixture
def carried_by(request: pytest.FixtureRequest, machine: Machine) -> Machine:
    """The machine whose runs start in the way that the test names."""
    return machine if request.param == "warm" else request.getfixturevalue("stock")
