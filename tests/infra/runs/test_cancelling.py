"""Cancelling a run that was interrupted, or whose worker is gone."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest

from adapters.shared.training import training_progress
from domain.audit.read_models import AuditEntry, AuditQuery
from domain.errors import PrefectUnavailable, RunAlreadyFinished
from domain.runs.flow_runs import Carried, CarriedAs
from domain.runs.training_run import RunStatus
from infra.trainings.training_session import recorded_session
from infra.upkeep import reconciliation
from infra.upkeep.reconciliation import Reconciler
from infra.wiring import Installation
from tests.infra.runs.conftest import Quiet, RunsHere, Tmm
from tests.support.people import PROVENANCE, request


@pytest.mark.parametrize(
    ("shown", "code", "status"),
    [("AwaitingRetry", 0, RunStatus.CANCELLED), ("Crashed", 2, RunStatus.FAILED)],
)
def test_an_interrupted_run_is_cancelled_while_it_waits_to_go_on(
    house: Installation, tmm: Tmm, monkeypatch: pytest.MonkeyPatch, shown: str, code: int, status: RunStatus
) -> None:
    run_id, by = uuid4(), house.user()
    house.trainings.request(run_id, request("sft-demo"), by=by)
    house.trainings.start(run_id, PROVENANCE)
    house.trainings.fail(run_id, "its machine went away", interrupted=True)
    monkeypatch.setattr(RunsHere, "state", lambda _self, _run_id: shown)

    said = tmm("cancel", str(run_id))

    assert said.code == code, said.err
    assert house.trainings.one(run_id).status is status


def test_a_run_that_is_ended_because_it_was_cancelled_is_not_recorded_as_crashed(
    house: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, by = uuid4(), house.user()
    house.trainings.request(run_id, request("sft-demo"), by=by)
    house.trainings.start(run_id, PROVENANCE)
    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    shown = Carried(
        run_id=run_id, as_=CarriedAs.CANCELLING, name="", message="Bob cancelled it.", since=long_ago, attempt=1
    )
    carrying = SimpleNamespace(
        carried=lambda _: {run_id: shown},
        under_way=list,
        last_sign_of_life=lambda _: None,
        end=lambda *_: None,
        waiting=list,
    )

    def crashes() -> None:
        with suppress(RunAlreadyFinished):
            house.trainings.fail(run_id, "It was told to end.", interrupted=True)

    carrier = SimpleNamespace(attempt=1, lives=True, end=crashes)
    monkeypatch.setattr(reconciliation, "carrier_of", lambda folder: carrier if folder.name == str(run_id) else None)
    tmm = SimpleNamespace(
        trainings=house.trainings,
        settings=house.settings,
        flow_run_states=carrying,
        prefect_user=house.prefect_user,
    )

    Reconciler(tmm).reconcile()  # type: ignore[arg-type]  # a stand-in

    entries = house.auditing.entries(AuditQuery(run=run_id))
    assert [entry.action for entry in entries] == ["request", "start", "cancel"]
    assert_cancelled_in_prefect(entries[-1], "Bob cancelled it.")


@pytest.mark.training
def test_a_training_ends_by_itself_once_its_cancellation_is_recorded(
    house: Installation, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever should stop it may be gone: its flow run was deleted in Prefect, or its machine hears of nobody."""
    monkeypatch.setattr(training_progress, "_LOOK_EVERY_S", 0.0)
    run_id = uuid4()

    class Cancelling(Quiet):
        def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
            if step == 2:
                house.trainings.cancel(run_id, "changed my mind", by=house.user())

    asked = {"method": "sft-demo", "backend": "cuda", "base_model": "small-base", "dataset": str(rows)}
    options = {"max_steps": 50, "batch_size": 4}

    def train() -> None:
        with recorded_session(house, run_id, asked | {"options": options}, Cancelling(), attempt=1) as session:
            session.start()
            session.fit()

    with pytest.raises(RunAlreadyFinished, match="been cancelled"):
        train()
    assert house.trainings.one(run_id).status is RunStatus.CANCELLED
    assert len(training_progress.lines_told(house.run_folder(run_id))) == 2


def assert_cancelled_in_prefect(entry: AuditEntry, said: str) -> None:
    """Not by the person who runs the command or service that noticed."""
    assert (entry.action, entry.actor, entry.origin) == ("cancel", "prefect", "flow")
    assert entry.reason == f"It was cancelled in Prefect. Prefect says: “{said}”"


def test_a_cancellation_that_the_worker_tells_of_was_made_in_prefect(
    house: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.client.schemas.objects import FlowRun
    from prefect.states import Cancelled, Cancelling

    from flows import train

    run_id = uuid4()
    house.trainings.request(run_id, request("sft-demo"), by=house.user())
    seen = Installation(house.settings, flow_run_id=run_id)
    monkeypatch.setattr(train.Installation, "for_flow", lambda _: seen)
    written = Cancelling(message="root cancelled it with\x1b[2J tmm cancel.")
    flow_run = FlowRun(id=run_id, flow_id=uuid4(), state=written)
    train.record_cancellation(train.train, flow_run, Cancelled(message="made up by the worker"))
    entry = house.auditing.entries(AuditQuery(run=run_id))[-1]
    assert_cancelled_in_prefect(entry, "root cancelled it with\\x1b[2J tmm cancel.")
    assert entry.flow_run_id == run_id


def test_whoever_cancels_a_run_that_runs_with_tmm_is_recorded_before_the_worker_tells_of_it(
    house: Installation, tmm: Tmm, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, by = uuid4(), house.user()
    house.trainings.request(run_id, request("sft-demo"), by=by)
    house.trainings.start(run_id, PROVENANCE)
    states = iter(["Cancelling", "Cancelling", "Cancelled"])
    monkeypatch.setattr(RunsHere, "state", lambda _self, _run_id: next(states))

    said = tmm("cancel", str(run_id))

    assert said.code == 0, said.err
    entry = house.auditing.entries(AuditQuery(run=run_id))[-1]
    assert (entry.action, entry.actor, entry.origin) == ("cancel", by.name, "command line")
    assert entry.reason == f"{by.name} cancelled it with tmm cancel."
    assert next(states, None) is None  # it waited until the worker had stopped


def test_whoever_cancels_a_run_stays_the_one_who_did_however_soon_the_worker_tells_of_it(
    house: Installation, tmm: Tmm, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, by = running(house), house.user()

    def worker_is_fast(_: RunsHere, stopped: UUID, reason: str) -> None:
        with suppress(RunAlreadyFinished):
            house.trainings.cancel(stopped, reason, by=house.prefect_user(stopped))

    monkeypatch.setattr(RunsHere, "cancel", worker_is_fast)
    said = tmm("cancel", str(run_id))
    assert said.code == 0, said.err
    (entry,) = house.auditing.entries(AuditQuery(run=run_id, action="cancel"))
    assert (entry.actor, entry.origin) == (by.name, "command line")


@pytest.mark.parametrize("starts", [True, False])
def test_a_run_is_cancelled_also_while_prefect_is_away(
    house: Installation, tmm: Tmm, monkeypatch: pytest.MonkeyPatch, *, starts: bool
) -> None:
    def away(_: RunsHere, __: UUID, ___: str) -> None:
        raise PrefectUnavailable("Nobody answers.")

    monkeypatch.setattr(RunsHere, "cancel", away)
    run_id = running(house, starts=starts)
    said = tmm("cancel", str(run_id))
    assert (said.code, said.out) == (0, f"Cancelled {run_id}.\n")
    word = "running" if starts else "waiting"
    assert f"The run is cancelled, and Prefect still shows it as {word}. Nobody answers." in said.err
    assert ("it ends there within seconds" in said.err) is starts
    assert house.trainings.one(run_id).status is RunStatus.CANCELLED


def running(house: Installation, *, starts: bool = True) -> UUID:
    run_id = uuid4()
    house.trainings.request(run_id, request("sft-demo"), by=house.user())
    if starts:
        house.trainings.start(run_id, PROVENANCE)
    return run_id
