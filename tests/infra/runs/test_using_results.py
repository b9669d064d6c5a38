"""`tmm export` and `tmm ask`, for whole models and for adapters of both backends, learned from rows or from rewards."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.evaluation import opened
from domain.audit.read_models import Run
from domain.ports import Device
from infra.wiring import Installation

pytestmark = pytest.mark.training

Tmm = Callable[..., Any]

QUESTIONS = ("43+48=", "12+71=", "98+58=")
PROMPTS: list[Any] = [[{"role": "user", "content": question}] for question in QUESTIONS]


@pytest.fixture(params=["whole", "lora", "on_mlx", "rewarded"])
def any_run(request: pytest.FixtureRequest) -> Run:
    run: Run = request.getfixturevalue(request.param)
    return run


def answers_of(folder: Path, device: Device) -> list[str]:
    with opened(str(folder), None, device=device, is_adapter=False) as model:
        return model.say(PROMPTS, longest=24, seed=0, temperature=0.0)


def test_an_exported_model_answers_in_transformers_and_in_mlx_lm_as_the_run_itself_does(
    tmm: Tmm, any_run: Run, tmp_path: Path
) -> None:
    exported = tmm("export", str(any_run.run_id), "--out", str(tmp_path / "out"))
    assert exported.code == 0, exported.err
    asked = json.loads(tmm("ask", str(any_run.run_id), *QUESTIONS, "--longest", "24", "--json").out)

    said = [answer["result"] for answer in asked]
    assert said != [answer["base"] for answer in asked]
    assert answers_of(tmp_path / "out", Device("cpu", "CPU")) == said
    assert answers_of(tmp_path / "out", Device("mlx", "CPU")) == said


def test_an_export_explains_itself(tmm: Tmm, lora: Run, tmp_path: Path) -> None:
    exported = json.loads(tmm("export", str(lora.run_id), "--out", str(tmp_path / "out"), "--json").out)

    assert exported["merged"] is True
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"run.json", "metrics.jsonl", "curve.svg", "README.md", "config.json", "tokenizer.json"} <= names
    assert "adapter_config.json" not in names
    assert f"run `{lora.run_id}` merged into its weights" in (tmp_path / "out" / "README.md").read_text()


def test_nothing_is_written_over(tmm: Tmm, whole: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    said = tmm("export", str(whole.run_id), "--out", str(tmp_path))

    assert said.code == 2
    assert "is not an empty folder" in said.err
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_a_prompt_that_was_trained_cannot_be_merged(whole: Run, house: Installation, tmp_path: Path) -> None:
    from adapters.exports.model_folder import export
    from domain.errors import InvalidInput

    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "adapter_config.json").write_text('{"peft_type": "PROMPT_TUNING"}')

    with pytest.raises(InvalidInput, match="trained a prompt"):
        export(
            tmp_path / "trained",
            house.base_models.open("small-base"),
            tmp_path / "out",
            backend=whole.request.backend,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["trained"]


def test_base_and_result_are_shown_one_after_the_other(tmm: Tmm, whole: Run) -> None:
    said = tmm("ask", str(whole.run_id), "43+48=", "--longest", "24")

    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == "43+48="
    assert lines[1] == "  small-base before:"
    assert "  after sft-demo:" in lines


def test_the_same_seed_draws_the_same_answers(tmm: Tmm, whole: Run) -> None:
    drawn = [tmm("ask", str(whole.run_id), "43+48=", "--temperature", "1", "--seed", seed).out for seed in "334"]

    assert drawn[0] == drawn[1] != drawn[2]


def test_a_run_without_a_model_cannot_be_asked_or_exported(tmm: Tmm, house: Installation, tmp_path: Path) -> None:
    from uuid import uuid4

    from domain.runs.training_run import RunRequest

    run_id = uuid4()
    request = {"method": "sft-demo", "backend": "cuda", "base_model": "small-base", "dataset": "sft-demo"}
    house.trainings.request(run_id, RunRequest.parse(request), by=house.user())
    house.trainings.cancel(run_id, "Not wanted.", by=house.user())

    for command in (("ask", str(run_id), "Hello?"), ("export", str(run_id), "--out", str(tmp_path / "out"))):
        said = tmm(*command)
        assert said.code == 2
        assert "has been cancelled, so there is no model of it" in said.err
