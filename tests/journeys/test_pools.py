"""Pools and queues: what is urgent goes first, what is paused waits, and what people set there stays."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.journeys.conftest import Machine

pytestmark = pytest.mark.journey


def _queues(machine: Machine) -> dict[str, dict[str, Any]]:
    return {queue["name"]: queue for queue in machine.prefect("POST", "/work_pools/cuda/queues/filter")}


def _start(machine: Machine, tiny: Path, queue: str) -> UUID:
    done = machine.tmm(
        *("train", "sft-demo", "--dataset", str(tiny), "--queue", queue, "--no-wait"),
        *("--set", "max_steps=2", "--set", "batch_size=4"),
    )
    assert done.returncode == 0, done.stderr
    assert (
        "The cuda pool is paused: the run waits until it is resumed. Resume it with: tmm pools resume cuda"
        in done.stderr
    )
    return UUID(done.stdout.strip())


def test_what_is_paused_waits_and_then_the_urgent_run_overtakes_the_one_that_may_wait(
    machine: Machine, tiny: Path
) -> None:
    assert machine.tmm("pools", "pause", "cuda").returncode == 0
    try:
        batch, urgent = _start(machine, tiny, "batch"), _start(machine, tiny, "interactive")
        (pool,) = json.loads(machine.tmm("pools", "--json").stdout)
        assert (pool["name"], pool["paused"]) == ("cuda", True)
        assert pool["workers"] >= 1  # Prefect counts one that was killed a minute ago too
        assert [queue["name"] for queue in pool["queues"]] == ["catalogue", "interactive", "batch", "default"]
        assert [queue["waiting"] for queue in pool["queues"]] == [0, 1, 1, 0]
        assert "pool paused" in machine.tmm("pools").stdout
    finally:
        assert machine.tmm("pools", "resume", "cuda").returncode == 0
    first, second = (
        machine.both_say(urgent, "completed", "COMPLETED"),
        machine.both_say(batch, "completed", "COMPLETED"),
    )
    assert first.finished_at is not None
    assert second.started_at is not None
    assert first.finished_at < second.started_at  # one after the other: there is one slot


def test_a_queue_is_paused_and_resumed_by_itself(machine: Machine) -> None:
    assert machine.tmm("pools", "pause", "cuda", "--queue", "batch").returncode == 0
    assert {name for name, queue in _queues(machine).items() if queue["is_paused"]} == {"batch"}
    assert machine.tmm("pools", "resume", "cuda", "--queue", "batch").returncode == 0
    assert not any(queue["is_paused"] for queue in _queues(machine).values())


def test_what_people_set_on_pools_and_queues_stays_and_what_they_deleted_comes_back(machine: Machine) -> None:
    interactive, batch = _queues(machine)["interactive"], _queues(machine)["batch"]
    deployment = machine.prefect("GET", "/deployments/name/train/custom01-cuda")
    machine.prefect("PATCH", f"/work_pools/cuda/queues/{interactive['name']}", concurrency_limit=7, description="ours")
    machine.prefect("PATCH", f"/deployments/{deployment['id']}", work_pool_name="cuda", work_queue_name="interactive")
    machine.prefect("DELETE", "/work_pools/cuda/queues/batch")
    try:
        assert machine.tmm("doctor", "--fix").returncode == 0
        after = _queues(machine)
        assert (after["interactive"]["concurrency_limit"], after["interactive"]["description"]) == (7, "ours")
        assert after["interactive"]["priority"] < after["batch"]["priority"]
        assert after["batch"]["id"] != batch["id"]
        machine.prefect("PATCH", f"/deployments/{deployment['id']}", work_pool_name="cuda", work_queue_name="batch")
        assert machine.tmm("doctor", "--fix").returncode == 0
        assert machine.prefect("GET", f"/deployments/{deployment['id']}")["work_queue_name"] == "batch"
    finally:
        machine.prefect("PATCH", "/work_pools/cuda/queues/interactive", concurrency_limit=None)
        machine.prefect(
            "PATCH", f"/deployments/{deployment['id']}", work_pool_name="cuda", work_queue_name="interactive"
        )


def test_a_pool_or_queue_that_is_not_there_is_named(machine: Machine) -> None:
    done = machine.tmm("pools", "pause", "mlx")
    assert (done.returncode, done.stderr.strip()) == (
        4,
        "error: There is no mlx pool yet. List them with: tmm pools",
    )
    done = machine.tmm("pools", "resume", "cuda", "--queue", "nightly")
    assert (done.returncode, "has no queue 'nightly'" in done.stderr) == (4, True)
