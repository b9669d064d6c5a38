"""What programs ask Prefect for is requested as soon as it waits, once, and by whom it would be when it starts."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.audit.read_models import AuditQuery
from domain.errors import RunNotFound, RunRequestChanged
from domain.runs.flow_runs import Waiting
from domain.runs.training_run import RunRequest, RunStatus
from infra.settings import Settings
from infra.trainings.waiting_runs import WaitingRuns
from infra.wiring import Installation

GIVEN: dict[str, Any] = {"method": "sft-demo", "backend": "cuda", "base_model": "small-base", "dataset": "sft-demo"}
AS_THE_FORM_HAS_IT = GIVEN | {"options": {"max_steps": 2}, "seed": 0, "output_name": "", "columns": "", "measure": True}


class WithPrefect(Installation):
    """An installation beside a Prefect in which these runs wait."""

    waiting: Sequence[Waiting] = ()

    @cached_property
    def flow_run_states(self) -> Any:
        return SimpleNamespace(waiting=lambda: self.waiting)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[WithPrefect]:
    with WithPrefect(Settings(home=tmp_path, backends="cuda")) as installation:
        installation.migrate()
        yield installation


def waits(here: WithPrefect, **parameters: Any) -> UUID:
    run_id = uuid4()
    here.waiting = [Waiting(run_id=run_id, parameters=parameters)]
    return run_id


def test_a_run_that_waits_is_requested_once(here: WithPrefect) -> None:
    run_id, waiting_runs = waits(here, **AS_THE_FORM_HAS_IT, acting_for=""), WaitingRuns(here)

    assert waiting_runs.note(known=()) == [run_id]
    assert waiting_runs.note(known=()) == []

    run = here.trainings.one(run_id)
    assert (run.status, run.requested_by) == (RunStatus.REQUESTED, "prefect")
    [entry] = here.auditing.entries(AuditQuery(run=run_id))
    assert (entry.action, entry.origin, entry.flow_run_id) == ("request", "flow", run_id)


def test_the_flow_finds_the_request_that_it_would_have_made_itself(here: WithPrefect) -> None:
    run_id = waits(here, **AS_THE_FORM_HAS_IT)
    WaitingRuns(here).note(known=())

    here.trainings.request(run_id, RunRequest.parse(AS_THE_FORM_HAS_IT), by=here.user())
    with pytest.raises(RunRequestChanged):
        here.trainings.request(run_id, RunRequest.parse(AS_THE_FORM_HAS_IT | {"seed": 1}), by=here.user())


@pytest.mark.parametrize(
    "wrong", [{"method": "no-such-method"}, {"options": {"warp": 9}}, {"seed": "many"}, {"acting_for": "forged"}]
)
def test_what_cannot_be_requested_is_left_to_its_flow_and_looked_at_once(
    here: WithPrefect, wrong: dict[str, Any]
) -> None:
    run_id, waiting_runs = waits(here, **AS_THE_FORM_HAS_IT | wrong), WaitingRuns(here)

    assert [waiting_runs.note(known=()), waiting_runs.note(known=())] == [[], []]

    with pytest.raises(RunNotFound):
        here.trainings.one(run_id)
    assert here.auditing.entries(AuditQuery(outcome="refused")) == []
