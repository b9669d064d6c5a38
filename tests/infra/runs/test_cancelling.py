"""`tmm cancel` of a run that was interrupted: only while it waits to go on, and then it does not."""

from uuid import uuid4

import pytest

from domain.training_run import RunStatus
from infra.wiring import Installation
from tests.infra.runs.conftest import RunsHere, Tmm
from tests.people import PROVENANCE, request


@pytest.mark.parametrize(
    ("shown", "code", "status"),
    [("AwaitingRetry", 0, RunStatus.CANCELLED), ("Crashed", 2, RunStatus.FAILED)],
)
def test_an_interrupted_run_is_cancelled_while_it_waits_to_go_on(
    house: Installation, tmm: Tmm, monkeypatch: pytest.MonkeyPatch, shown: str, code: int, status: RunStatus
) -> None:
    run_id, by = uuid4(), house.user()
    house.service.request_run(run_id, request("sft-demo"), by=by)
    house.service.start_run(run_id, PROVENANCE, by=by)
    house.service.fail_run(run_id, "its machine went away", interrupted=True, by=by)
    monkeypatch.setattr(RunsHere, "state", lambda _self, _run_id: shown)

    said = tmm("cancel", str(run_id))

    assert said.code == code, said.err
    assert house.service.training_run(run_id).status is status
