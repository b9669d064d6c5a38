"""`tmm train --dry-run`, what is refused before anything is created, and estimates that learn from earlier runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.read_models import Run
from infra.wiring import Installation

Tmm = Callable[..., Any]


@pytest.fixture
def faq(tmp_path: Path) -> Path:
    """Demonstrations in columns of other names."""
    file = tmp_path / "faq.jsonl"
    file.write_text("".join(json.dumps({"asked": f"{n}+1=", "reply": f"{n + 1}"}) + "\n" for n in range(20)))
    return file


def test_a_dry_run_says_what_would_happen_and_starts_nothing(tmm: Tmm, house: Installation, rows: Path) -> None:
    before = house.service.catch_up().position

    said = tmm("train", "sft-demo", "--dataset", str(rows), "--dry-run")

    assert said.code == 0, said.err
    assert "Nothing was started." in said.out
    assert "54 to train on, 6 held out; each has messages" in said.out
    assert "100 of 32 rows: each row about 59 times" in said.out
    assert "As the model will see it (row 1; what it learns stands in ⟦ ⟧):\n<|user|>" in said.out
    assert "<|assistant|>⟦<think>" in said.out
    assert "warning: Each row is seen about 59 times" in said.err
    assert house.service.catch_up().position == before


def test_a_dry_run_is_one_document_for_programs(tmm: Tmm) -> None:
    said = tmm("train", "grpo-demo", "--dry-run", "--json")

    plan = json.loads(said.out)
    assert (plan["method"], plan["shape"], plan["rows_a_step"]) == ("grpo-demo", "prompt and answer", 8)
    assert plan["tokens"]["limit"] == 480
    assert [piece["learned"] for piece in plan["shown"][0]["pieces"]] == [False]
    assert plan["seconds"] > 0 < plan["memory_bytes"]
    assert plan["warnings"] == []


def test_a_dry_run_says_which_columns_are_read(tmm: Tmm, faq: Path) -> None:
    said = tmm("train", "sft-demo", "--dataset", str(faq), "--columns", "prompt=asked, completion=reply", "--dry-run")

    assert said.code == 0, said.err
    assert "each has prompt and completion" in said.out
    assert "columns" in said.out
    assert "prompt=asked, completion=reply" in said.out


@pytest.mark.training
def test_a_run_reads_the_columns_that_it_was_given_and_keeps_them_in_its_record(
    house: Installation, train: Callable[..., Run], tmm: Tmm, faq: Path
) -> None:
    run = train(dataset=str(faq), columns="prompt=asked, completion=reply")

    assert run.status == "completed"
    record = json.loads((house.artifacts.fetch(run.artifact or "") / "run.json").read_text())
    assert record["dataset"]["columns"] == "prompt=asked, completion=reply"
    assert "prompt=asked, completion=reply" in tmm("runs", "show", str(run.run_id)).out
    again = tmm("rerun", str(run.run_id), "--json")
    assert json.loads(again.out)["columns"] == "prompt=asked, completion=reply"


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        (("sft-demo", "--dataset", "grpo-demo"), "takes rows with messages"),
        (("grpo-demo", "--set", "batch_size=63"), "must be a multiple of option 'num_generations'"),
        (("sft-demo", "--dataset", "nowhere.jsonl"), "There is no dataset"),
        (("sft-demo", "--columns", "prompt=asked"), "train.jsonl has no column 'asked' (it has messages)"),
        (("sft-demo", "--base-model", "nothing"), "There is no base model"),
    ],
)
@pytest.mark.parametrize("dry", [("--dry-run",), ()])
def test_what_cannot_go_well_is_refused_before_anything_is_created(
    tmm: Tmm, house: Installation, asked: tuple[str, ...], complaint: str, dry: tuple[str, ...]
) -> None:
    before = house.service.catch_up().position

    said = tmm("train", *asked, *dry)

    assert (said.code, said.out) == (2, "")
    assert complaint in said.err
    assert house.service.catch_up().position == before


@pytest.mark.training
def test_an_estimate_follows_what_completed_runs_took_here(tmm: Tmm, whole: Run) -> None:
    plan = json.loads(tmm("train", "sft-demo", "--dry-run", "--json").out)

    assert plan["measured_runs"] >= 1
    said = tmm("train", "sft-demo", "--dry-run").out
    assert "took on this machine" in said
    assert "very roughly" not in said


@pytest.mark.training
def test_a_worker_looks_too_and_its_refusal_is_the_runs_recorded_end(
    house: Installation, train: Callable[..., Run], tmp_path: Path
) -> None:
    leaking = tmp_path / "leaking"
    leaking.mkdir()
    row = {"messages": [{"role": "user", "content": "1+1="}, {"role": "assistant", "content": "2"}]}
    (leaking / "train.jsonl").write_text(json.dumps(row) + "\n")
    (leaking / "held_out.jsonl").write_text(json.dumps(row) + "\n")

    with pytest.raises(Exception, match="held-out rows are also trained on"):
        train(dataset=str(leaking))

    run = house.service.training_runs(limit=1)[0]
    assert run.status == "failed"
    assert "held-out rows are also trained on" in (run.reason or "")
