"""Two machines, one catalogue: PostgreSQL, a shared artifact store, and a Prefect server that asks for its password.

The machines know nothing but three addresses and the password. One starts runs as fresh processes; the other's start
warm, and it has two GPUs (their number alone is made up). What dies or cannot be reached on one of them does no harm to
what the other carries.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psutil
import psycopg
import pytest

from domain.runs.training_run import TrainingRun
from infra.wiring import Installation
from tests.conftest import PostgresServer
from tests.journeys.conftest import Machine, eventually
from tests.journeys.network import Network, postgres_of_this_system
from tests.journeys.test_catalogue_in_prefect import _licensed

pytestmark = [pytest.mark.journey, pytest.mark.full]  # minutes: two more workers, and three trainings at once

UNFINISHED = ("SCHEDULED", "PENDING", "RUNNING", "CANCELLING")
PASSWORD = "tmm:speak-friend-and-enter"
TWO_GPUS = """
from adapters.machines import slots
slots.cuda_devices = lambda: ("0", "1")
from infra.main import main
main()
"""


@dataclass
class Machines:
    """The one with the Prefect server, which trains nothing, one with one slot, and one with two behind a network."""

    server: Machine
    one: Machine
    other: Machine
    network: Network
    prefects_database: str | None

    def start(self, tiny: Path, *, max_steps: int = 100_000, method: str = "sft-demo", **more: int) -> UUID:
        options = {"max_steps": max_steps, "batch_size": 4, **more}
        done = self.server.tmm(
            *("train", method, "--dataset", str(tiny), "--no-wait"),
            *(word for name, value in options.items() for word in ("--set", f"{name}={value}")),
        )
        assert done.returncode == 0, done.stderr
        return UUID(done.stdout.strip())

    def in_each_slot(self, tiny: Path, *, max_steps: int) -> list[UUID]:
        """Runs that begin at the same moment, one in each of the three slots, when all of them train."""
        assert self.server.tmm("pools", "pause", "cuda").returncode == 0
        runs = [self.start(tiny, max_steps=max_steps) for _ in range(3)]
        assert self.server.tmm("pools", "resume", "cuda").returncode == 0
        assert {self.of(run).home for run in runs} == {self.one.home, self.other.home}
        return runs

    def of(self, run_id: UUID) -> Machine:
        """The machine that carries a run, as soon as it trains."""

        def look() -> Machine | None:
            carrying = [m for m in (self.one, self.other) if (m.home / "runs" / str(run_id) / "metrics.jsonl").exists()]
            return carrying[0] if carrying else None

        return eventually(look, within=150, what=f"a machine that trains {run_id}")

    def steps(self, run_id: UUID) -> int:
        return len((self.of(run_id).home / "runs" / str(run_id) / "metrics.jsonl").read_text().splitlines())

    def both_say(self, run_id: UUID, ours: str, prefects: str, *, within: float = 60) -> None:
        self.server.both_say(run_id, ours, prefects, within=within)

    def await_workers(self, count: int) -> None:
        def online() -> bool:
            with Installation(self.server.settings) as tmm:
                return [pool.workers for pool in tmm.pools.all()] == [count]

        eventually(online, within=90, what=f"{count} workers")


@pytest.fixture(scope="module")
def machines(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    folder = tmp_path_factory.mktemp("machines")
    name = f"machines_{uuid4().hex}"
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    before = dict(os.environ)
    os.environ["PREFECT_API_AUTH_STRING"] = PASSWORD  # this process looks at Prefect too
    with ExitStack() as stack:
        stack.callback(os.environ.update, before)
        stack.callback(os.environ.clear)
        prefects_database = stack.enter_context(postgres_of_this_system())
        shared = {
            "TMM_DATABASE_URL": postgres_server.url.replace("/postgres?", f"/{name}?"),
            "TMM_ARTIFACTS": f"file://{folder}/artifacts",
            "TMM_SHARED_CHECKPOINTS": f"file://{folder}/checkpoints",
            "PREFECT_API_AUTH_STRING": PASSWORD,
        }
        protected = {"PREFECT_SERVER_API_AUTH_STRING": PASSWORD, "TMM_PREFECT_DATABASE_URL": prefects_database or ""}
        server = Machine(folder / "server", more=shared | protected)
        migrated = server.tmm("migrate")
        assert migrated.returncode == 0, migrated.stderr
        server.up = server.start("up", "--no-worker")
        stack.callback(server.stop)
        said = server.home / "up.out"
        eventually(lambda: server.up.poll() or "Press Ctrl-C" in said.read_text(), within=90, what="a server")
        assert server.up.poll() is None, said.read_text()
        network = Network(urlsplit(server.api_url).port or 0)
        stack.callback(network.close)
        one = Machine(folder / "one", more=shared | {"PREFECT_API_URL": server.api_url, "TMM_WORKER": "stock"})
        elsewhere = {"PREFECT_API_URL": f"http://127.0.0.1:{network.port}/api"}
        other = Machine(folder / "other", more=shared | elsewhere, program=("-c", TWO_GPUS))
        for machine in (one, other):
            stack.callback(machine.stop)
            machine.up = machine.start("worker", "--backend", "cuda")
        machines = Machines(server, one, other, network, prefects_database)
        machines.await_workers(3)
        yield machines


@pytest.fixture(scope="module")
def sft_together(machines: Machines, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A method that lets processes and machines share a training."""
    _licensed(machines.one, tmp_path_factory.mktemp("licence"), "*")
    options = ("processes:integer=1", "machines:integer=1", "save_steps:integer=20")
    described = [f"{option},minimum=1,maximum=50,description=For the test" for option in options]
    added = machines.one.tmm(
        *("add", "sft-together", "--from", "sft-demo"), *(word for each in described for word in ("--option", each))
    )
    assert added.returncode == 0, added.stderr
    return "sft-together"


def test_the_password_opens_prefect_and_is_written_nowhere(machines: Machines, tiny: Path, tmp_path: Path) -> None:
    machines.both_say(machines.start(tiny, max_steps=2), "completed", "COMPLETED", within=150)
    stranger = Machine(tmp_path / "stranger", more={"PREFECT_API_URL": machines.server.api_url})
    refused = stranger.tmm("train", "sft-demo")
    assert refused.returncode == 5
    assert "wants its password. Set PREFECT_API_AUTH_STRING" in refused.stderr
    assert "wants its password" in stranger.tmm("doctor").stdout
    secret = PASSWORD.partition(":")[2].encode()
    for machine in (machines.server, machines.one, machines.other):
        for file in machine.home.rglob("*"):
            assert not file.is_file() or secret not in file.read_bytes(), file
    for process in psutil.process_iter():
        try:
            assert secret.decode() not in " ".join(process.cmdline()), process
        except psutil.Error:
            continue
    kept = machines.server.prefect("POST", "/flow_runs/filter")
    assert kept
    assert secret.decode() not in str(kept)


def test_prefect_keeps_its_records_in_postgresql(machines: Machines) -> None:
    if machines.prefects_database is None:
        pytest.skip("this system has no PostgreSQL with the extension pg_trgm")
    with psycopg.connect(machines.prefects_database) as connection:
        found = connection.execute("SELECT count(*) FROM flow_run").fetchone()
    assert found is not None
    assert found[0] > 0
    assert not list(machines.server.home.rglob("prefect.db"))


def test_two_machines_share_the_load_and_what_dies_on_one_leaves_the_others_alone(
    machines: Machines, tiny: Path, tmp_path: Path
) -> None:
    server, one, other = machines.server, machines.one, machines.other
    _licensed(one, tmp_path, "*")
    assert one.tmm("add", "sft-shared", "--from", "sft-demo").returncode == 0
    runs = [machines.start(tiny, method="sft-shared") for _ in range(3)]
    waiting = machines.start(tiny, method="sft-shared", max_steps=2)
    there = [run for run in runs if machines.of(run) is other]
    assert len(there) == 2
    carriers = {run: machines.of(run).flow_process(run) for run in runs}
    assert {carriers[run].environ()["CUDA_VISIBLE_DEVICES"] for run in there} == {"0", "1"}
    assert server.prefect_state(waiting)["type"] == "SCHEDULED"  # one at a time on each GPU

    killed, *others = there[0], there[1], next(run for run in runs if run not in there)
    steps = {run: machines.steps(run) for run in others}
    _worker_of(carriers[killed]).kill()
    machines.both_say(killed, "failed", "CRASHED")
    assert server.run(killed).interrupted
    machines.both_say(waiting, "completed", "COMPLETED", within=90)  # in the place that became free
    assert machines.of(waiting) is other
    assert server.run(waiting).artifact == f"{server.more['TMM_ARTIFACTS']}/{waiting}"
    assert "completed" in one.tmm("runs", "show", str(waiting)).stdout
    for run in others:
        eventually(lambda run=run: machines.steps(run) > steps[run], within=30, what=f"more steps of {run}")
    assert server.tmm("pools", "pause", "cuda").returncode == 0
    resumed = server.tmm("resume", str(killed), "--no-wait")
    assert resumed.returncode == 0, resumed.stderr
    for run in runs:  # that go on, and the one that waits to do so
        cancelled = server.tmm("cancel", str(run))
        assert cancelled.returncode == 0, cancelled.stderr
        machines.both_say(run, "cancelled", "CANCELLED")
    assert server.tmm("pools", "resume", "cuda").returncode == 0


def test_two_machines_share_one_training_which_ends_as_on_one_machine_also_when_it_was_killed(
    machines: Machines, tiny: Path, sft_together: str
) -> None:
    server, how = machines.server, {"max_steps": 300, "save_steps": 20}

    def start(**shared: int) -> UUID:
        return machines.start(tiny, method=sft_together, **how, **shared)

    alone, shared = start(processes=2), start(machines=2)
    for run in (alone, shared):
        machines.both_say(run, "completed", "COMPLETED", within=200)
    killed = start(machines=2)
    eventually(lambda: machines.steps(killed) > 25, within=60, what="a checkpoint")
    machines.of(killed).flow_process(killed).kill()
    machines.both_say(killed, "failed", "CRASHED")
    resumed = server.tmm("resume", str(killed), "--no-wait")
    assert resumed.returncode == 0, resumed.stderr
    _the_one_that_takes_part(machines).kill()
    machines.both_say(killed, "failed", "CRASHED")
    assert server.run(killed).interrupted
    resumed = server.tmm("resume", str(killed), "--no-wait")
    assert resumed.returncode == 0, resumed.stderr
    machines.both_say(killed, "completed", "COMPLETED", within=200)

    one, *others = (server.run(run) for run in (alone, shared, killed))
    assert [(run.steps, run.weights_hash) for run in others] == [(300, one.weights_hash)] * 2
    assert (len(_taking_part(machines, "COMPLETED")), len(_taking_part(machines, "FAILED"))) == (2, 1)


def test_a_run_goes_on_on_another_machine_than_the_one_where_it_died_from_its_last_checkpoint(
    machines: Machines, tiny: Path, sft_together: str
) -> None:
    whole, run = (machines.start(tiny, method=sft_together, max_steps=300) for _ in range(2))
    first = machines.of(run)
    second = machines.one if first is machines.other else machines.other
    first.reached(run, 25)
    with Installation(first.settings) as there:
        shared = there.shared_checkpoints
        assert shared is not None
        eventually(lambda: shared._copies_of(run), within=30, what="a shared checkpoint")
    first.flow_process(run).kill()
    machines.both_say(run, "failed", "CRASHED")
    first.stop()
    resumed = machines.server.tmm("resume", str(run), "--no-wait")
    assert resumed.returncode == 0, resumed.stderr
    second.reached(run, 40)
    fixed = first.tmm("doctor", "--fix")
    assert str(run) not in fixed.stdout + fixed.stderr
    first.up = first.start("worker", "--backend", "cuda")
    for each in (whole, run):
        machines.both_say(each, "completed", "COMPLETED", within=150)
    assert machines.server.run(run).weights_hash == machines.server.run(whole).weights_hash
    with Installation(machines.server.settings) as tmm:
        went_on = [event.step for event in tmm.log.events.get(run) if isinstance(event, TrainingRun.Resumed)]
    assert len(went_on) == 1
    assert went_on[0] >= 20
    machines.await_workers(3)


def _the_one_that_takes_part(machines: Machines) -> psutil.Process:
    """The flow's process on the machine that computes a share, as soon as it does."""

    def look() -> psutil.Process | None:
        at_work = [
            found for m in (machines.one, machines.other) for found in m.processes("distributed.rank", "/machine-2")
        ]
        return at_work[0].parent() if at_work else None

    return eventually(look, within=90, what="a machine that takes part")


def test_a_training_that_waits_for_another_machine_can_be_cancelled(
    machines: Machines, tiny: Path, sft_together: str
) -> None:
    run = machines.start(tiny, method=sft_together, max_steps=2, machines=4)
    asked = eventually(lambda: _taking_part(machines, "SCHEDULED"), within=60, what="a machine asked for in vain")
    assert machines.server.tmm("cancel", str(run)).returncode == 0
    machines.both_say(run, "cancelled", "CANCELLED")
    eventually(lambda: not _taking_part(machines, *UNFINISHED), within=30, what="the others' end")
    assert {machines.server.prefect_state(each)["type"] for each in asked} <= {"CANCELLED", "FAILED"}
    for run in machines.in_each_slot(tiny, max_steps=2):
        machines.both_say(run, "completed", "COMPLETED")


def _taking_part(machines: Machines, *states: str) -> list[UUID]:
    """The flow runs in which machines take part in others' trainings."""
    found = machines.server.prefect(
        "POST",
        "/flow_runs/filter",
        flows={"name": {"any_": ["take-part"]}},
        flow_runs={"state": {"type": {"any_": [*states]}}},
    )
    return [UUID(run["id"]) for run in found]


def test_runs_complete_although_the_database_is_away_for_twenty_seconds(
    machines: Machines, tiny: Path, postgres_server: PostgresServer
) -> None:
    runs = machines.in_each_slot(tiny, max_steps=400)
    assert "running" in {machines.server.run(run).status for run in runs}
    with postgres_server.away():
        time.sleep(20)  # on an idle machine their end comes while there is nobody to record it
    for run in runs:
        machines.both_say(run, "completed", "COMPLETED")
        assert machines.server.run(run).steps == 400


@pytest.mark.parametrize("seconds", [0, 60])
def test_a_run_completes_although_its_machine_does_not_reach_prefect_at_its_end(
    machines: Machines, tiny: Path, seconds: int
) -> None:
    runs = machines.in_each_slot(tiny, max_steps=200)
    with machines.network.cut():
        for run in runs:
            assert machines.server.ended(run).status == "completed"
        time.sleep(seconds)
    for run in runs:
        machines.both_say(run, "completed", "COMPLETED")


def _worker_of(carrier: psutil.Process) -> psutil.Process:
    return next(parent for parent in carrier.parents() if "infra.serving.prefect_process" in " ".join(parent.cmdline()))
