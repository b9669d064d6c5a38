"""What a person is told of a run that waits for more than a free worker."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from adapters.cli.commands.trainings.training import tell_awaited
from domain.ports import WorkPool
from domain.runs.flow_runs import Queue
from domain.use_cases.trainings import Started, StartTraining, Trainings
from tests.support.people import ALICE, request


class FlowRuns:
    """Takes every run, and carries none."""

    def create(self, *_: object, **__: object) -> UUID:
        return uuid4()

    def release(self, run_id: UUID) -> None: ...

    def address(self, run_id: UUID) -> str:
        return f"here/{run_id}"


def started(*, machines: int, workers: int, paused: bool = False) -> Started:
    pools = [WorkPool("mlx", paused=False, workers=9, queues=[]), WorkPool("cuda", paused, workers, queues=[])]
    spec = SimpleNamespace(internal_name="sft-demo", backends=["cuda"])
    flow_runs, unused = FlowRuns(), SimpleNamespace()
    runs: Any = SimpleNamespace(request=lambda *_, **__: None, options_of=lambda _: {"machines": machines})
    catalogue: Any = SimpleNamespace(method=lambda _: SimpleNamespace(spec=spec))
    preflight: Any = SimpleNamespace(checked=lambda asked: asked)
    paused_pools: Any = SimpleNamespace(all=lambda: pools, is_paused=lambda _, queue: paused and queue is None)
    trainings = Trainings(
        runs,
        catalogue,
        preflight,
        unused,  # type: ignore[arg-type]
        unused,  # type: ignore[arg-type]
        flow_runs=lambda: flow_runs,  # type: ignore[arg-type,return-value]
        pools=lambda: paused_pools,
        backends=(),
    )
    return trainings.start(StartTraining(request=request("sft-demo"), queue=Queue.BATCH), ALICE)


def test_a_run_that_waits_for_nothing_but_a_worker_needs_no_words() -> None:
    assert started(machines=1, workers=0).awaited == started(machines=2, workers=2).awaited == ()


def test_a_paused_pool_is_named_with_what_ends_that(capsys: pytest.CaptureFixture[str]) -> None:
    found = started(machines=1, workers=1, paused=True)
    assert found.remarks == ("The cuda pool is paused: the run waits until it is resumed.",)
    tell_awaited(found)
    assert capsys.readouterr().err.rstrip().endswith("tmm pools resume cuda")


@pytest.mark.parametrize(("workers", "there"), [(0, "are 0 workers"), (1, "is 1 worker"), (2, "are 2 workers")])
def test_machines_that_are_not_there_are_missed_before_a_worker_waits_for_them(workers: int, there: str) -> None:
    (words,) = started(machines=3, workers=workers).remarks
    assert f"shared by 3 machines, and there {there} of cuda now" in words
