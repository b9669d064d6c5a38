"""A run of a method with code of its own, from its request to its end: it pins the code, and says its faults."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.audit.read_models import Run
from domain.catalogue.method_spec import CUSTOM, Backend
from domain.errors import CustomCodeFailed
from infra.settings import Settings
from infra.trainings.training_session import recorded_session
from infra.wiring import Installation
from tests.adapters.custom_code.test_conformance import GOOD

pytestmark = pytest.mark.training


class Watcher:
    def phase(self, words: str) -> None: ...

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None: ...


@pytest.fixture
def tmm(tmp_path: Path) -> Iterator[Installation]:
    with Installation(Settings(home=tmp_path / "home", backends="cuda,mlx")) as installation:
        yield installation


def put_in_place(tmm: Installation, folder: Path, text: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "method.py").write_text(text)
    code = tmm.workshop.keep(folder, backends=[Backend.CUDA])
    fields = {"code": code.model_dump(mode="json"), "trainer": CUSTOM, "configuration_options": []}
    tmm.catalogue.modify("custom01", fields, by=tmm.user())
    return code.hash


def trained(tmm: Installation, run_id: UUID) -> Run:
    asked: dict[str, Any] = {
        "method": "custom01",
        "backend": "cuda",
        "base_model": "small-base",
        "dataset": "sft-demo",
    }
    with Installation(tmm.settings, flow_run_id=run_id) as worker:
        with recorded_session(worker, run_id, asked, Watcher(), attempt=1) as session:
            session.start()
            session.measure_before()
            session.fit()
            session.measure_after()
            session.complete()
        return worker.trainings.one(run_id)


def test_a_run_pins_the_code_that_it_ran_and_ends_as_any_other(tmm: Installation, tmp_path: Path) -> None:
    code_hash = put_in_place(tmm, tmp_path / "code", GOOD)
    run = trained(tmm, uuid4())
    assert run.status == "completed"
    assert run.steps == 4
    assert run.provenance is not None
    assert run.provenance.code_hash == code_hash
    other = put_in_place(tmm, tmp_path / "code", GOOD + "\n")
    assert other != code_hash
    pinned = tmm.trainings.method_of(run.run_id).code
    assert pinned is not None
    assert pinned.hash == code_hash


def test_a_result_that_does_not_open_is_told_with_the_codes_own_file_and_line(
    tmm: Installation, tmp_path: Path
) -> None:
    text = GOOD.replace(
        "    return TrainingResult",
        '    (trained / "model.safetensors").write_bytes(b"nonsense")\n    return TrainingResult',
    )
    put_in_place(tmm, tmp_path / "code", text)
    run_id = uuid4()
    with pytest.raises(CustomCodeFailed):
        trained(tmm, run_id)
    run = tmm.trainings.one(run_id)
    assert run.status == "failed"
    assert run.reason is not None
    assert run.reason.startswith("What the code gave as its result cannot be opened: ")
    line = next(number for number, line in enumerate(text.splitlines(), 1) if line.startswith("def train"))
    assert f"(method.py, line {line}, in train)" in run.reason


def test_code_that_breaks_ends_its_run_as_failed_and_the_next_run_works(tmm: Installation, tmp_path: Path) -> None:
    put_in_place(
        tmm, tmp_path / "code", GOOD.replace("    base, trained", "    import os; os._exit(7)\n    base, trained")
    )
    run_id = uuid4()
    with pytest.raises(CustomCodeFailed):
        trained(tmm, run_id)
    assert "exit code 7" in (tmm.trainings.one(run_id).reason or "")
    put_in_place(tmm, tmp_path / "code", GOOD)
    assert trained(tmm, uuid4()).status == "completed"
