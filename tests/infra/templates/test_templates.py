"""The templates, as they are, train on the sample data and improve the held-out measure, on both backends."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from adapters.custom_code.running import CustomTrainer, Limits
from adapters.evaluation import evaluate
from adapters.shared.training.checkpoints import FolderCheckpoints
from domain.catalogue.method_spec import Backend
from domain.ports import Finding
from domain.training import TrainingJob
from infra.settings import CHECKOUT, Settings
from infra.wiring import Installation

EACH = pytest.mark.parametrize(
    ("template", "backend"), [(name, backend) for name in ("custom01", "custom02") for backend in Backend]
)

LIMITS = Limits(memory_gb=16.0, silence_s=300.0)


@pytest.fixture
def tmm(tmp_path: Path) -> Iterator[Installation]:
    with Installation(Settings(home=tmp_path / "home", backends="cuda,mlx")) as installation:
        yield installation


class Quiet:
    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        assert metrics


@pytest.mark.sample("custom01-cuda", "custom01-mlx")
@pytest.mark.training
@EACH
def test_a_template_as_it_is_learns_what_the_sample_data_teaches(
    tmm: Installation, tmp_path: Path, template: str, backend: Backend
) -> None:
    code, folder = tmp_path / "code", tmp_path / "run"
    tmm.workshop.new(template, template=template, backend=backend, folder=code)
    data = tmm.datasets.load("sft-demo" if template == "custom01" else "grpo-demo", seed=0)
    held_out = data.held_out[:100]
    device, base_model = tmm.device(backend), tmm.base_models.open("small-base").source
    job = TrainingJob(
        run_id=uuid4(),
        method=template,
        backend=backend,
        device=device.name,
        base_model=base_model,
        rows=data.rows,
        held_out=held_out,
        seed=0,
        folder=folder,
        checkpoints=FolderCheckpoints(folder / "checkpoints"),
    )
    folder.mkdir()
    few = {"max_steps": 40 if template == "custom01" else 20}
    result = CustomTrainer(code, LIMITS).train(job, few, Quiet())
    before = evaluate(base_model, None, held_out, device=device, is_adapter=False, seed=0).metrics
    after = evaluate(base_model, result.folder, held_out, device=device, is_adapter=result.is_adapter, seed=0).metrics
    assert after["accuracy"] > before["accuracy"] + 0.2
    assert after["format"] > before["format"] + 0.2


@pytest.mark.sample("custom02-cuda", "custom01-mlx")
@pytest.mark.training
@pytest.mark.usefixtures("warm")
@EACH
def test_a_template_as_it_is_keeps_every_claim_of_the_contract(
    tmm: Installation, tmp_path: Path, template: str, backend: Backend
) -> None:
    code, found = tmp_path / "code", list[Finding]()
    tmm.workshop.new(template, template=template, backend=backend, folder=code)
    data = "sft-demo" if template == "custom01" else "grpo-demo"
    tmm.workshop.check(code, backend=backend, dataset=data, told=found.append)
    assert [f"{finding.claim}: {finding.words}" for finding in found if finding.verdict != "kept"] == []
    assert len(found) > 15


@pytest.mark.training
@EACH
def test_a_templates_own_tests_pass(tmm: Installation, tmp_path: Path, template: str, backend: Backend) -> None:
    tmm.workshop.new(template, template=template, backend=backend, folder=tmp_path / "mine")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "mine",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@EACH
def test_a_template_is_a_page(template: str, backend: Backend) -> None:
    assert (
        len(
            (CHECKOUT / "infra" / "templates" / template / f"method_on_{backend}.py")
            .read_text(encoding="utf-8")
            .splitlines()
        )
        < 150
    )
