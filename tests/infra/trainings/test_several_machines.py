"""What several machines that are to share a training say when they cannot."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from adapters.trainers.torch.distributed import processes as several_processes
from domain.errors import InvalidInput, MachineMissing, PrefectUnavailable
from domain.runs.flow_runs import Carried, CarriedAs
from domain.training import Meeting
from infra.settings import Settings
from infra.trainings import several_machines
from tests.support.people import PROVENANCE, request

RUN, OTHER = UUID(int=7), UUID(int=9)


class Prefect:
    """A pool in which the other machine is shown as these states say, and as cancelled once it was told to."""

    def __init__(self, *states: CarriedAs | None) -> None:
        self._states: Iterator[CarriedAs | None] = iter(states)
        self._state: CarriedAs | None = None
        self.cancelled: list[UUID] = []

    def ask_for_a_machine(self, *_: object) -> UUID:
        return OTHER

    def cancel(self, run_id: UUID, reason: str) -> None:
        assert reason
        self.cancelled.append(run_id)
        self._states = iter([CarriedAs.CANCELLED])

    def carried(self, _: object) -> dict[UUID, Carried]:
        self._state = next(self._states, self._state)
        if self._state is None:
            raise PrefectUnavailable("It does not answer.")
        now = datetime.now(UTC)
        shown = Carried(run_id=OTHER, as_=self._state, name="", message="It said why.", since=now, attempt=1)
        return {OTHER: shown}


def lead(
    prefect: Prefect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, looks: int = 0
) -> tuple[Meeting | None, list[str]]:
    """Where the machines meet when all are there, and what was said on the way; it looks so often whether they stay."""
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.setattr(several_machines, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(several_machines, "_LOOK_AT_WORK_EVERY_S", 0.0)
    tmm: Any = SimpleNamespace(settings=Settings(home=tmp_path), flow_runs=prefect, flow_run_states=prefect)
    job = SimpleNamespace(run_id=RUN, backend="cuda", checkpoints=SimpleNamespace(newest=lambda: None))
    said: list[str] = []
    watcher: Any = SimpleNamespace(phase=said.append)
    monkeypatch.setattr(several_machines, "replace", lambda _, meeting: SimpleNamespace(meeting=meeting))
    with several_machines.with_other_machines(tmm, job, 2, watcher, attempt=1) as shared:  # type: ignore[arg-type]  # a stand-in
        for _ in range(looks):
            shared.meeting.all_are_there()
        return shared.meeting, said


def test_it_says_for_how_many_machines_it_waits_also_while_prefect_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefect = Prefect(None, CarriedAs.SCHEDULED, None, CarriedAs.RUNNING, CarriedAs.COMPLETED)
    meeting, said = lead(prefect, tmp_path, monkeypatch)
    assert meeting is not None
    assert (meeting.address, meeting.machines, meeting.machine) == ("127.0.0.1", 2, 0)
    assert said == ["waiting for other machines: 0 of 1 are there"]
    assert prefect.cancelled == []


def test_a_machine_that_does_not_come_in_time_is_missed_in_words_and_asked_for_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(several_machines, "_ALL_THERE_WITHIN_S", 0.0)
    prefect = Prefect(CarriedAs.SCHEDULED)
    with pytest.raises(MachineMissing, match=r"^0 of 1 other machines took part .* Start a worker on each"):
        lead(prefect, tmp_path, monkeypatch)
    assert prefect.cancelled == [OTHER]


def test_a_machine_that_could_not_take_part_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MachineMissing, match=r"could not take part\. It said why\."):
        lead(Prefect(CarriedAs.FAILED), tmp_path, monkeypatch)


@pytest.mark.parametrize("end", [CarriedAs.FAILED, CarriedAs.CRASHED, CarriedAs.CANCELLED])
def test_a_machine_that_leaves_ends_the_training_of_the_one_that_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: CarriedAs
) -> None:
    running = CarriedAs.RUNNING
    with pytest.raises(MachineMissing, match=r"has left\. It said why\."):
        lead(Prefect(running, running, None, end), tmp_path, monkeypatch, looks=3)


def test_a_machine_whose_share_is_done_has_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lead(Prefect(CarriedAs.RUNNING, CarriedAs.RUNNING, CarriedAs.COMPLETED), tmp_path, monkeypatch, looks=3)


@pytest.mark.parametrize(
    ("what", "words"), [("rows", "The dataset"), ("model", "The base model"), ("code", "trainers'")]
)
def test_a_machine_on_which_something_is_otherwise_takes_no_part(what: str, words: str) -> None:
    same = {"rows": PROVENANCE.dataset_hash, "model": PROVENANCE.base_model_hash, "code": PROVENANCE.code_hash}
    here = same | {what: "another"}
    run = SimpleNamespace(request=request("sft-demo"), provenance=PROVENANCE, options={"machines": 2})
    tmm: Any = SimpleNamespace(
        trainings=SimpleNamespace(one=lambda _: run),
        datasets=SimpleNamespace(load=lambda *_, **__: SimpleNamespace(rows_hash=here["rows"])),
        base_models=SimpleNamespace(open=lambda _: SimpleNamespace(files_hash=here["model"])),
        trainers_code_hash=lambda: here["code"],
    )
    with pytest.raises(InvalidInput, match=words):
        take_part(tmm, attempt=3)


@pytest.mark.parametrize("attempt", [2, 4])
def test_no_machine_takes_part_in_an_attempt_that_is_over(attempt: int) -> None:
    run = SimpleNamespace(request=request("sft-demo"), provenance=PROVENANCE, options={"machines": 2})
    tmm: Any = SimpleNamespace(trainings=SimpleNamespace(one=lambda _: run))
    with pytest.raises(InvalidInput, match="does not go on any more"):
        take_part(tmm, attempt=attempt)


def take_part(tmm: Any, *, attempt: int) -> None:
    """In a training that Prefect shows in its third attempt."""
    shown = Carried(run_id=RUN, as_=CarriedAs.RUNNING, name="", message="", since=datetime.now(UTC), attempt=3)
    tmm.flow_run_states = SimpleNamespace(carried=lambda _: {RUN: shown})
    watcher: Any = SimpleNamespace()
    several_machines.take_part(tmm, RUN, Meeting("127.0.0.1", 1, 2, 1), "", 0, attempt=attempt, watcher=watcher)


def test_machines_meet_in_the_network_in_which_they_reach_prefect_unless_another_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "ib0")
    network = several_processes._network_to("127.0.0.1")
    assert network["GLOO_SOCKET_IFNAME"].startswith("lo")
    assert network["NCCL_SOCKET_IFNAME"] == "ib0"
