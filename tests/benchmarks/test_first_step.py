"""From trigger to the flow's first line and to the first optimiser step: in a warm process beside a fresh one.

python -m pytest --full tests/benchmarks/test_first_step.py

A small SFT run, the polling of `tmm up`, both ways on one machine in turns, about four minutes on two quiet cores.
Each round has a run with a seed that was not there before, whose base model is measured, and one with a seed that was,
whose measure is known (`adapters/evaluation/kept_measures.py`). The first run of each way, which reads the libraries
from the disk, does not count.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from adapters.prefect.client import prefect_client
from infra.serving.prefect_environment import prefect_environment
from tests.journeys.conftest import SAMPLES, Machine, eventually

pytestmark = [pytest.mark.full, pytest.mark.journey, pytest.mark.training]

ROUNDS = int(os.environ.get("TMM_BENCHMARK_ROUNDS", "5"))
OPTIONS = {"max_steps": 2, "batch_size": 4, "warmup_steps": 0}
WARM, STOCK = "warm", "stock"
NEW, KNOWN = "base model measured", "base model known"


@contextmanager
def machine_with_both_workers(folder: Path) -> Iterator[tuple[Machine, dict[str, UUID]]]:
    """`tmm up` with its warm start, a worker without it on a pool beside it, and a deployment on each."""
    machine = Machine(folder / "home", more={"TMM_WORKER": WARM})
    machine.start_up()
    try:
        shown = "/deployments/name/train/sft-demo-cuda"
        eventually(lambda: machine.ask("GET", shown).status_code == 200, within=60, what="the catalogue in Prefect")
        with prefect_client(machine.api_url) as client:
            warm = client.read_deployment_by_name("train/sft-demo-cuda")
            pool = client.read_work_pool("cuda").model_dump(include={"type", "base_job_template"}, mode="json")
        machine.prefect("POST", "/work_pools/", name=STOCK, **pool)
        with prefect_client(machine.api_url) as client:
            beside = client.create_deployment(
                flow_id=warm.flow_id, name=f"{STOCK}-cuda", entrypoint=warm.entrypoint, work_pool_name=STOCK
            )
        environment = {
            **machine.environment,
            **prefect_environment(machine.settings, machine.api_url),
            **machine.settings.as_environment(),
            "TMM_WORKER": STOCK,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        log = folder / "stock.log"
        with log.open("wb") as output:
            command = [sys.executable, "-m", "infra.serving.prefect_process", "worker", STOCK, STOCK]
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            eventually(lambda: "TMM_WORKER is stock" in log.read_text(), within=120, what="the other worker")
            yield machine, {WARM: warm.id, STOCK: beside}
        finally:
            process.terminate()
            process.wait(60)
    finally:
        machine.stop()


def a_few_rows(folder: Path) -> Path:
    """A dataset that costs no time itself."""
    for name, rows in (("train.jsonl", 8), ("held_out.jsonl", 1)):
        (folder / name).write_text("".join((SAMPLES / name).read_text().splitlines(keepends=True)[:rows]))
    return folder


def seconds(machine: Machine, deployment: UUID, dataset: Path, *, seed: int) -> dict[str, float]:
    """Seconds from trigger to the first line and to the first optimiser step of one run."""
    asked = {
        "method": "sft-demo",
        "backend": "cuda",
        "base_model": "small-base",
        "dataset": str(dataset),
        "options": OPTIONS,
        "seed": seed,
    }
    began = datetime.now(UTC)
    run_id = UUID(machine.prefect("POST", f"/deployments/{deployment}/create_flow_run", parameters=asked)["id"])
    run = machine.ended(run_id, within=180)
    assert run.status == "completed", run.reason
    eventually(lambda: machine.prefect_state(run_id)["type"] == "COMPLETED", within=60, what="Prefect's end")
    first_line = machine.prefect("GET", f"/flow_runs/{run_id}")["start_time"].replace("Z", "+00:00")
    first_step = json.loads((machine.home / "runs" / str(run_id) / "metrics.jsonl").read_text().splitlines()[0])["at"]
    time.sleep(1)  # its process ends now; the next run is not to pay for that
    moments = {"first line": first_line, "first step": first_step}
    return {what: (datetime.fromisoformat(at) - began).total_seconds() for what, at in moments.items()}


def test_the_first_step_comes_sooner_with_the_warm_worker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with machine_with_both_workers(tmp_path) as (machine, deployments):
        (tmp_path / "rows").mkdir()
        dataset = a_few_rows(tmp_path / "rows")
        taken: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        for at, deployment in enumerate(deployments.values()):
            seconds(machine, deployment, dataset, seed=1 + at)
        for number in range(ROUNDS):
            for at, (kind, deployment) in enumerate(deployments.items()):
                for what, seed in ((NEW, 100 + 2 * number + at), (KNOWN, 1 + at)):
                    for moment, took in seconds(machine, deployment, dataset, seed=seed).items():
                        taken[moment, what, kind].append(took)
    with capsys.disabled():
        poll = machine.settings.poll_seconds
        sys.stdout.write(f"\nSeconds from trigger, {ROUNDS} runs of each in turns, polling every {poll:g} s:\n")
        sys.stdout.write(f"{'':36}{'median':>8}{'quickest':>10}{'slowest':>9}\n")
        for (moment, what, kind), each in sorted(taken.items()):
            figures = f"{statistics.median(each):8.2f}{min(each):10.2f}{max(each):9.2f}"
            sys.stdout.write(f"{moment + ', ' + what:30}{kind:>6}{figures}\n".replace("base model ", ""))
    for what in (NEW, KNOWN):
        warm, stock = (statistics.median(taken["first step", what, kind]) for kind in (WARM, STOCK))
        assert warm < stock
