"""What a person is told of a run that waits for more than a free worker."""

from types import SimpleNamespace
from typing import Any

import pytest

from adapters.cli.commands.trainings.training import awaited
from domain.ports import WorkPool
from domain.runs.flow_runs import Queue
from tests.support.people import request


def told(*, machines: int, workers: int, paused: bool = False) -> list[str]:
    pools = [WorkPool("mlx", paused=False, workers=9, queues=[]), WorkPool("cuda", paused, workers, queues=[])]
    installation: Any = SimpleNamespace(
        pools=SimpleNamespace(all=lambda: pools, is_paused=lambda _, queue: paused and queue is None),
        trainings=SimpleNamespace(options_of=lambda _: {"machines": machines}),
    )
    return list(awaited(installation, request("sft-demo"), Queue.BATCH))


def test_a_run_that_waits_for_nothing_but_a_worker_needs_no_words() -> None:
    assert told(machines=1, workers=0) == told(machines=2, workers=2) == []


def test_a_paused_pool_is_named_with_what_ends_that() -> None:
    (words,) = told(machines=1, workers=1, paused=True)
    assert words.endswith("tmm pools resume cuda")


@pytest.mark.parametrize(("workers", "there"), [(0, "are 0 workers"), (1, "is 1 worker"), (2, "are 2 workers")])
def test_machines_that_are_not_there_are_missed_before_a_worker_waits_for_them(workers: int, there: str) -> None:
    (words,) = told(machines=3, workers=workers)
    assert f"shared by 3 machines, and there {there} of cuda now" in words
