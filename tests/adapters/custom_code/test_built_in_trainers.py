"""The conformance kit runs over the trainers that come with the service as it does over everybody's own."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters import trainers
from domain.catalogue.method_spec import MethodType
from domain.ports import Dataset, Finding
from infra.settings import Settings
from infra.wiring import Installation

DECLARED = trainers.declarations()

IN_FULL = ("rloo", "mlx-ppo")
"""Checked under --full alone, for the usual run checks what they are made of: `rloo` trains through the same function
as `grpo`; `mlx-ppo` learns as `ppo` does, with the policy and the steps of `mlx-grpo`."""


@pytest.fixture
def tmm(tmp_path: Path) -> Iterator[Installation]:
    with Installation(Settings(home=tmp_path / "home", backends="cuda,mlx")) as installation:
        yield installation


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_every_option_has_limits_and_names_what_it_visibly_changes(name: str) -> None:
    for field, info in trainers.load(name).Options.model_fields.items():
        assert isinstance(info.json_schema_extra, dict), f"{name}: {field}"
        assert "changes" in info.json_schema_extra, f"{name}: {field}"
    for option in DECLARED[name].options:
        assert option.description
        assert option.type in ("boolean", "choice", "text") or None not in (option.minimum, option.maximum), option.name


def test_trainers_import_nothing_heavy_before_they_train() -> None:
    """In a fresh process; the checks below run where the libraries are imported already."""
    modules = sorted(trainers.module_of(name) for name in DECLARED)
    code = (
        "import importlib, sys; from adapters.custom_code.contract import HEAVY\n"
        "for module in sys.argv[1:]: importlib.import_module(module)\n"
        "print(*sorted(sys.modules.keys() & set(HEAVY)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.sample("sft", "orpo", "mlx-lora")
@pytest.mark.training
@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.full) if name in IN_FULL else name for name in sorted(DECLARED)]
)
def test_a_trainer_keeps_every_claim_of_the_contract(tmm: Installation, name: str) -> None:
    found: list[Finding] = []
    [backend, *_] = DECLARED[name].backends
    tmm.workshop.check_built_in(name, backend=backend, sample=sample_for(tmm, name), told=found.append)
    assert [f"{finding.claim}: {finding.words}" for finding in found if finding.verdict == "broken"] == []
    shown = {finding.claim for finding in found}
    assert {f"option {option.name} is honoured" for option in DECLARED[name].options} <= shown
    assert "a resumed run ends with the same weights" in shown


def sample_for(tmm: Installation, name: str) -> Dataset:
    """Rows of the shape that a trainer of this kind takes."""
    kinds = set(DECLARED[name].method_types)
    if kinds & {MethodType.GRPO, MethodType.RLOO, MethodType.PPO}:
        return tmm.datasets.load("grpo-demo", seed=0)
    sample = tmm.datasets.load("sft-demo", seed=0)
    if kinds & {MethodType.DPO, MethodType.ORPO, MethodType.REWARD}:
        return with_rows(sample, pair)
    if MethodType.KTO in kinds:
        return with_rows(sample, judged)
    return sample


def with_rows(sample: Dataset, shaped: Any) -> Dataset:
    def rows(of: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [shaped(number, row["messages"][:-1], row["messages"][-1:]) for number, row in enumerate(of)]

    return Dataset(sample.name, rows(sample.rows), rows(sample.held_out), sample.rows_hash, sample.held_out_hash)


def pair(number: int, asked: list[Any], said: list[Any]) -> dict[str, Any]:
    wrong = [{"role": "assistant", "content": f"<answer>{number}</answer>"}]
    return {"prompt": asked, "chosen": said, "rejected": wrong}


def judged(number: int, asked: list[Any], said: list[Any]) -> dict[str, Any]:
    right = number % 2 == 0
    answer = said if right else [{"role": "assistant", "content": f"<answer>{number}</answer>"}]
    return {"prompt": asked, "completion": answer, "label": right}
