"""Cancelling a run that was interrupted, or whose worker is gone."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest

from domain.carrying import Carried, CarriedAs
from domain.errors import RunAlreadyFinished
from domain.read_models import AuditQuery
from domain.training_run import RunStatus
from infra import reconciliation
from infra.reconciliation import Reconciler
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


def test_a_run_that_is_ended_because_it_was_cancelled_is_not_recorded_as_crashed(
    house: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, by = uuid4(), house.user()
    house.service.request_run(run_id, request("sft-demo"), by=by)
    house.service.start_run(run_id, PROVENANCE, by=by)
    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    shown = Carried(
        run_id=run_id, as_=CarriedAs.CANCELLING, name="", message="Bob cancelled it.", since=long_ago, attempt=1
    )
    carrying = SimpleNamespace(
        carried=lambda _: {run_id: shown}, under_way=list, last_sign_of_life=lambda _: None, end=lambda *_: None
    )

    def crashes() -> None:
        with suppress(RunAlreadyFinished):
            house.service.fail_run(run_id, "It was told to end.", interrupted=True, by=by)

    carrier = SimpleNamespace(attempt=1, lives=True, end=crashes)
    monkeypatch.setattr(reconciliation, "carrier_of", lambda folder: carrier if folder.name == str(run_id) else None)
    tmm = SimpleNamespace(service=house.service, settings=house.settings, carrying=carrying, user=house.user)

    Reconciler(tmm).reconcile()  # type: ignore[arg-type]  # a stand-in

    assert [entry.action for entry in house.service.audit(AuditQuery(run=run_id))] == ["request", "start", "cancel"]
