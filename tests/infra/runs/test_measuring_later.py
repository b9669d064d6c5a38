"""Whatever goes wrong after the last step, the trained weights are stored, and can be measured later."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.audit.read_models import AuditQuery, Run
from domain.errors import NothingToMeasure
from domain.runs.training_run import RunStatus
from infra.settings import Settings
from infra.trainings.training_session import TrainingSession, recorded_session
from infra.wiring import Installation
from tests.infra.runs.conftest import Quiet

pytestmark = pytest.mark.training

Tmm = Callable[..., Any]


@contextmanager
def carried(house: Installation, rows: Path, run_id: UUID, *, attempt: int = 1) -> Iterator[TrainingSession]:
    """A run of three steps that has trained: what comes after the last step is still to be done."""
    options = {"max_steps": 3, "batch_size": 4}
    asked = {"method": "sft-demo", "backend": "cuda", "base_model": "small-base", "dataset": str(rows)}
    with recorded_session(house, run_id, asked | {"options": options}, Quiet(), attempt=attempt) as session:
        session.start()
        session.measure_before()
        session.fit()
        yield session


@pytest.fixture
def unmeasured(house: Installation, rows: Path) -> Run:
    """A run whose result could not be opened while it was measured."""
    run_id = uuid4()
    with carried(house, rows, run_id) as session:
        tokenizer = house.run_folder(run_id) / "trained" / "tokenizer.json"
        away = tokenizer.rename(tokenizer.with_suffix(".away"))
        assert session.measure_after() == {}
        away.rename(tokenizer)
        session.complete()
    return house.trainings.one(run_id)


def test_a_result_that_cannot_be_measured_is_stored_and_measured_later(
    house: Installation, unmeasured: Run, whole: Run, tmm: Tmm
) -> None:
    assert (unmeasured.status, unmeasured.measured, unmeasured.after) == (RunStatus.COMPLETED, False, {})
    assert unmeasured.artifact is not None
    assert unmeasured.weights_hash == whole.weights_hash
    assert f"tmm measure {unmeasured.run_id}" in tmm("runs", "show", str(unmeasured.run_id)).out
    card = (house.artifacts.fetch(unmeasured.artifact) / "README.md").read_text()
    assert "stored without being measured" in card
    assert f"`tmm measure {unmeasured.run_id}`" in card

    said = tmm("measure", str(unmeasured.run_id), "--json")

    assert said.code == 0, said.err
    document = json.loads(said.out)
    assert (document["status"], document["measured"]) == ("completed", True)
    assert (document["before"], document["after"]) == (whole.before, whole.after)
    assert len(house.kept_runs.answers_of(house.trainings.one(unmeasured.run_id))) == 6
    [entry] = house.auditing.entries(AuditQuery(run=unmeasured.run_id, action="measure"))
    assert entry.sentence.startswith(f"{house.user().name} measured a training with sft-demo")


def test_what_was_measured_is_not_measured_again(house: Installation, whole: Run, tmm: Tmm) -> None:
    assert whole.measured is True
    said = tmm("measure", str(whole.run_id))
    assert (said.code, said.out) == (2, "")
    assert "was measured" in said.err
    with pytest.raises(NothingToMeasure):
        house.trainings.measure(whole.run_id, before={}, after={}, by=house.user())


def test_nothing_is_measured_where_that_was_not_wished(
    train: Callable[..., Run], house: Installation, whole: Run, tmm: Tmm
) -> None:
    run = train(measure=False)
    assert (run.measured, run.before, run.after) == (False, {}, {})
    assert json.loads(tmm("measure", str(run.run_id), "--json").out)["after"] == whole.after


def test_held_out_rows_that_changed_would_measure_something_else(
    train: Callable[..., Run], rows: Path, tmp_path: Path, tmm: Tmm
) -> None:
    lines = rows.read_text().splitlines(keepends=True)
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(lines))
    run = train(dataset=str(file), measure=False)
    file.write_text("".join(lines[::2]))

    said = tmm("measure", str(run.run_id))
    assert said.code == 2
    assert "Put the dataset back as it was" in said.err


def test_a_process_that_was_ended_while_it_measured_is_not_ended_by_it_again(house: Installation, rows: Path) -> None:
    run_id = uuid4()
    with carried(house, rows, run_id) as session:
        (house.run_folder(run_id) / "measuring").touch()  # as one leaves it that is ended by force
        assert session.measure_after() == {}
        session.complete()
    assert house.trainings.one(run_id).measured is False


def test_a_result_that_cannot_be_stored_is_not_trained_again_when_the_run_goes_on(tmp_path: Path, rows: Path) -> None:
    run_id = uuid4()
    with Installation(Settings(home=tmp_path, backends="cuda")) as house:
        house.migrate()
        artifacts = tmp_path / "artifacts"
        artifacts.write_text("in the way")

        def carry(attempt: int) -> None:
            with carried(house, rows, run_id, attempt=attempt) as session:
                session.measure_after()
                session.complete()

        with pytest.raises(OSError, match="artifacts"):
            carry(1)
        assert house.trainings.one(run_id).resumable
        told = (house.run_folder(run_id) / "metrics.jsonl").read_text()

        artifacts.unlink()
        carry(2)

        assert house.trainings.one(run_id).status is RunStatus.COMPLETED
        assert (house.run_folder(run_id) / "metrics.jsonl").read_text() == told
