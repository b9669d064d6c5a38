"""`tmm runs show`, `tmm runs compare` and `tmm rerun`, on real trainings of three steps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.audit.read_models import Run
from infra.wiring import Installation

Tmm = Callable[..., Any]

pytestmark = pytest.mark.training


def test_a_run_is_shown_with_its_curve_what_it_was_made_of_and_its_answers(tmm: Tmm, whole: Run) -> None:
    shown = tmm("runs", "show", str(whole.run_id)).out

    assert "sft-demo: completed" in shown
    assert whole.provenance is not None
    assert f"sha256 {whole.provenance.dataset_hash}" in shown
    assert "→" in next(line for line in shown.splitlines() if line.startswith("loss") and "→" in line)
    assert "  expected  " in shown
    assert f'tmm ask {whole.run_id} "…"' in shown


def test_two_runs_are_told_apart_by_their_options_measures_and_curves(tmm: Tmm, whole: Run, lora: Run) -> None:
    said = tmm("runs", "compare", str(whole.run_id), str(lora.run_id))

    assert said.code == 0, said.err
    lines = [line.split() for line in said.out.splitlines()]
    assert ["adapter", "none", "lora"] in lines
    assert "Both were made of the same." in said.out
    assert "They differ from step" in said.out
    assert "They ended with different weights." in said.out


def test_a_comparison_is_one_document_for_programs(tmm: Tmm, whole: Run, lora: Run) -> None:
    found = json.loads(tmm("runs", "compare", str(whole.run_id), str(lora.run_id), "--json").out)

    assert [run["run_id"] for run in found["runs"]] == [str(whole.run_id), str(lora.run_id)]
    assert [option["name"] for option in found["options"]] == ["max_steps", "learning_rate", "adapter"]
    assert {"name": "adapter", "one": "none", "other": "lora"} in found["options"]
    assert found["agreement"]["curves"] == "different"
    assert found["agreement"]["same_weights"] is False
    assert {"accuracy", "loss"} <= {measure["name"] for measure in found["measures"]}


def test_both_curves_can_be_had_in_one_picture(tmm: Tmm, whole: Run, lora: Run, tmp_path: Path) -> None:
    picture = tmp_path / "both.svg"

    assert tmm("runs", "compare", str(whole.run_id), str(lora.run_id), "--svg", str(picture)).code == 0
    assert str(whole.run_id)[:8] in picture.read_text()


def test_a_run_repeated_from_the_log_ends_with_the_same_curve_and_the_same_weights(tmm: Tmm, whole: Run) -> None:
    said = tmm("rerun", str(whole.run_id), "--json")

    assert said.code == 0, said.err
    assert "warning" not in said.err
    repeated = json.loads(said.out)
    assert repeated["run_id"] != repeated["repeats"] == str(whole.run_id)
    assert repeated["options"] == whole.options
    assert repeated["agreement"]["curves"] == "same"
    assert repeated["agreement"]["same_weights"] is True


def test_a_repetition_keeps_the_options_of_then_and_says_what_changed_since(
    tmm: Tmm, house: Installation, train: Callable[..., Run], tmp_path: Path, rows: Path
) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text(rows.read_text())
    then = train(method="custom01", dataset=str(own))
    offered = house.catalogue.method("custom01").spec.configuration_options
    changed = [
        option.model_dump(mode="json") | ({"default": 1e-5} if option.name == "learning_rate" else {})
        for option in offered
    ]
    house.catalogue.modify("custom01", {"configuration_options": changed}, by=house.user())
    own.write_text("".join(reversed(rows.read_text().splitlines(keepends=True))))

    said = tmm("rerun", str(then.run_id))

    assert said.code == 0, said.err
    assert "warning: Changed since: version of custom01, 1 then, 2 now." in said.err
    assert "warning: Changed since: dataset's rows, " in said.err
    assert f"Beside {then.run_id}" in said.out
    again = house.trainings.all(method="custom01", limit=1)[0]
    assert again.options == then.options
    assert again.options is not None
    assert again.options["learning_rate"] != 1e-5
