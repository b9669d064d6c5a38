"""What can go on is offered to whoever looks at it."""

import json
from uuid import UUID, uuid4

import pytest

from adapters.cli.commands.trainings.training import must_have_completed
from adapters.cli.errors import TrainingFailed
from infra.wiring import Installation
from tests.infra.runs.conftest import Tmm
from tests.support.people import PROVENANCE, request


@pytest.fixture
def running(house: Installation) -> UUID:
    run_id, by = uuid4(), house.user()
    house.trainings.request(run_id, request("sft-demo"), by=by)
    house.trainings.start(run_id, PROVENANCE)
    return run_id


def test_a_run_that_goes_on_took_nothing_yet(tmm: Tmm, running: UUID) -> None:
    shown = tmm("runs", "show", str(running)).out
    assert "sft-demo: running" in shown
    assert "took" not in shown
    assert "Next" not in shown


@pytest.mark.parametrize("interrupted", [True, False])
def test_a_run_that_was_interrupted_is_told_from_one_that_failed_and_offered(
    house: Installation, tmm: Tmm, running: UUID, *, interrupted: bool
) -> None:
    house.trainings.fail(running, "Its machine went away.", interrupted=interrupted)
    word = "interrupted" if interrupted else "failed"

    shown = tmm("runs", "show", str(running)).out
    assert f"sft-demo: {word}" in shown
    assert (f"tmm resume {running}" in shown) is interrupted
    assert json.loads(tmm("runs", "show", str(running), "--json").out)["resumable"] is interrupted
    listed = next(line for line in tmm("runs").out.splitlines() if str(running) in line)
    assert word in listed.split()
    assert (str(running) in tmm("runs", "--status", "interrupted").out) is interrupted
    assert str(running) in tmm("runs", "--status", "failed").out
    with pytest.raises(TrainingFailed) as told:
        must_have_completed(house.trainings.one(running))
    assert f"{word}: Its machine went away." in str(told.value)
    assert (f"tmm resume {running}" in str(told.value)) is interrupted
