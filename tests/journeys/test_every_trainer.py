"""Every trainer that comes with the service, as a method that somebody added: triggered in Prefect, carried by its
pool's worker, and better on held-out rows than the base model was.

The two quickest in every run, all of them with --full.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from adapters import trainers
from domain.catalogue.method_spec import Backend, MethodSpec
from infra.settings import CHECKOUT
from infra.upkeep.publishing import update_prefect
from infra.wiring import Installation
from tests.adapters.trainers.shaped_rows import SHAPES
from tests.journeys.conftest import Machine

pytestmark = [pytest.mark.journey, pytest.mark.training]

ROWS, HELD_OUT = 400, 100
REWARDED: dict[str, Any] = {"batch_size": 64, "max_completion_length": 32, "warmup_steps": 2}


@dataclass(frozen=True)
class Row:
    """A row of the table: a trainer, what it learns from, what is measured, and the options that make it short."""

    trainer: str
    dataset: str = "sft-demo"
    measure: str = "accuracy"
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.trainer

    @property
    def backend(self) -> Backend:
        return trainers.declarations()[self.trainer].backends[0]

    @property
    def method(self) -> str:
        return f"every-{self.trainer}"

    def spec(self, folder: Path) -> MethodSpec:
        """A method with this trainer whose defaults are the row's options."""
        declared = trainers.declarations()[self.trainer]
        chosen = {"learning_rate": 1e-3, "max_steps": 20, "save_steps": 0} | self.options
        options = [
            option.model_dump(mode="json", exclude_none=True) | {"default": chosen[option.name]}
            for option in declared.options
            if option.name in chosen
        ]
        assert {option["name"] for option in options} == set(chosen)
        return MethodSpec.parse(
            {
                "internal_name": self.method,
                "display_name": f"Every {self.trainer}",
                "method_type": declared.method_types[0],
                "description": declared.summary,
                "trainer": self.trainer,
                "backends": declared.backends,
                "configuration_options": options,
                "default_base_model": "small-base",
                "default_dataset": str(folder / self.dataset),
            }
        )


PAIRS, MARKED = "sft-demo in pairs", "sft-demo marked"
TABLE = [
    Row("sft"),
    Row("peft", options={"learning_rate": 3e-3}),
    Row("dpo", PAIRS, "preference_accuracy"),
    Row("kto", MARKED, "preference_accuracy"),
    Row("orpo", PAIRS, "preference_accuracy"),
    Row("reward", PAIRS, "preference_accuracy", {"learning_rate": 3e-4}),
    Row("grpo", "grpo-demo", options=REWARDED | {"learning_rate": 1e-4}),
    Row("rloo", "grpo-demo", options=REWARDED | {"learning_rate": 1e-4}),
    Row("ppo", "grpo-demo", options=REWARDED | {"learning_rate": 1e-4, "max_steps": 8}),
    Row("mlx-lora", options={"learning_rate": 5e-3}),
    Row("mlx-dpo", PAIRS, "preference_accuracy"),
    Row("mlx-orpo", PAIRS, "preference_accuracy"),
    Row("mlx-grpo", "grpo-demo", options=REWARDED | {"max_steps": 16}),
    Row("mlx-ppo", "grpo-demo", options=REWARDED | {"max_steps": 8}),
]
QUICK = ("peft", "dpo")
EACH = [pytest.param(row, id=str(row), marks=() if row.trainer in QUICK else pytest.mark.full) for row in TABLE]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demos' rows in every shape, each as a folder with rows to train on and rows to measure with."""
    folder = tmp_path_factory.mktemp("every")
    for dataset in {row.dataset for row in TABLE}:
        sample, _, shape = dataset.partition(" ")
        (folder / dataset).mkdir()
        for part, first in (("train", ROWS), ("held_out", HELD_OUT)):
            lines = (CHECKOUT / "infra" / "samples" / sample / f"{part}.jsonl").read_text().splitlines()[:first]
            shaped = SHAPES[shape]([json.loads(line) for line in lines])
            (folder / dataset / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in shaped))
    return folder


@contextmanager
def licensed(machine: Machine, folder: Path) -> Iterator[Machine]:
    """The machine while its user is a commercial one; afterwards its catalogue is what it was."""
    with Installation(machine.settings) as tmm:
        user = tmm.user().name
    for command in (
        f"keygen --out {folder}/keys",
        f"issue --key {folder}/keys/private.pem --customer Journey --users {user} --days 2 --out {folder}/licence",
        f"trust {folder}/keys/public.pem",
    ):
        done = machine.tmm("licence", *command.split())
        assert done.returncode == 0, done.stderr
    with Installation(machine.settings) as tmm:
        licence = tmm.licences.install((folder / "licence").read_bytes())
    yield machine
    with Installation(machine.settings) as tmm:
        for method in tmm.catalogue.selectable():
            if method.spec.internal_name.startswith("every-"):
                tmm.catalogue.delete(method.spec.internal_name, by=tmm.user())
        update_prefect(tmm)
        tmm.licences.remove(licence.licence_id)


@pytest.fixture(scope="module")
def on_cuda(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with licensed(machine, tmp_path_factory.mktemp("licence")) as ready:
        yield ready


@pytest.fixture(scope="module")
def on_mlx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine of its own: the one that all journeys share has no MLX."""
    machine = Machine(tmp_path_factory.mktemp("on-mlx"), backends="mlx")
    machine.start_up()
    with licensed(machine, tmp_path_factory.mktemp("licence")) as ready:
        yield ready
    machine.stop()


@pytest.mark.sample("dpo")
@pytest.mark.parametrize("row", EACH)
def test_a_method_added_for_a_trainer_makes_the_model_better_on_its_pool(
    row: Row, data: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    machine: Machine = request.getfixturevalue(f"on_{row.backend}")
    with Installation(machine.settings) as tmm:
        tmm.catalogue.add(row.spec(data), by=tmm.user())
        assert update_prefect(tmm) is None

    shown = machine.prefect("GET", f"/deployments/name/train/{row.method}-{row.backend}")
    assert shown["work_pool_name"] == row.backend
    run_id = UUID(machine.prefect("POST", f"/deployments/{shown['id']}/create_flow_run")["id"])

    run = machine.ended(run_id, within=300)
    assert run.status == "completed", run.reason
    machine.both_say(run_id, "completed", "COMPLETED")
    assert run.before is not None
    assert run.after is not None
    before, after = run.before[row.measure], run.after[row.measure]
    if request.config.getoption("--full"):
        with capsys.disabled():
            sys.stdout.write(f"\n{row}: {row.measure} {before:.3f} to {after:.3f} in {run.duration_s:.0f} s\n")
    assert after > before + 0.1
