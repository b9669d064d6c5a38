"""What lies in an artefact beside the weights."""

import hashlib
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.artifacts.artifact_store import hash_of
from domain.audit.read_models import Run
from infra.wiring import Installation

pytestmark = pytest.mark.training


@pytest.fixture
def folder(house: Installation, whole: Run) -> Path:
    assert whole.artifact is not None
    return house.artifacts.fetch(whole.artifact)


@pytest.fixture
def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


def test_an_artefact_holds_the_model_its_tokenizer_and_all_that_explains_it(folder: Path) -> None:
    names = {file.name for file in folder.iterdir()}

    assert {"model.safetensors", "config.json", "tokenizer.json"} <= names
    assert {"run.json", "metrics.jsonl", "curve.svg", "answers.json", "README.md"} <= names


def test_the_record_says_completely_what_the_run_was_made_of(record: dict[str, Any], whole: Run) -> None:
    made_of = whole.provenance
    assert made_of is not None
    assert record["run_id"] == str(whole.run_id)
    assert (record["method"]["internal_name"], record["method"]["version"]) == ("sft-demo", whole.method_version)
    assert record["options"] == whole.options
    assert record["options"]["weight_decay"] == 0.0  # a default that nobody gave
    assert record["seed"] == 0
    assert record["base_model"] == {"name": "small-base", "sha256": made_of.base_model_hash}
    assert record["dataset"]["sha256"] == made_of.dataset_hash
    assert record["dataset"]["rows"] + record["dataset"]["held_out_rows"] == 60
    assert record["training_code_sha256"] == made_of.code_hash
    assert record["packages"]["torch"] == made_of.packages["torch"]
    assert record["device"] == made_of.device
    assert record["requested"]["by"] == whole.requested_by
    assert record["requested"]["edition"] == "noncommercial"


def test_the_record_holds_the_hash_of_every_other_file_and_the_log_that_of_all(
    record: dict[str, Any], folder: Path, whole: Run
) -> None:
    on_disk = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir() if file.name != "run.json"
    }
    assert record["files"] == on_disk
    assert record["weights_sha256"] == whole.weights_hash == on_disk["model.safetensors"]
    assert whole.artifact_hash == hash_of(folder)


def test_every_step_is_kept_as_it_was_reported_and_drawn(folder: Path) -> None:
    steps = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]

    assert [step["step"] for step in steps] == [1, 2, 3]
    assert all({"at", "loss"} <= step.keys() for step in steps)
    assert "loss" in "".join(ET.parse(folder / "curve.svg").getroot().itertext())


def test_sample_answers_stand_side_by_side(folder: Path) -> None:
    answers = json.loads((folder / "answers.json").read_text())

    assert answers
    for answer in answers:
        assert answer["prompt"].endswith("=")
        assert {"said", "right"} == answer["before"].keys() == answer["after"].keys()


def test_the_model_card_can_be_read_by_a_hub_and_says_what_was_measured(folder: Path, whole: Run) -> None:
    _, front, body = (folder / "README.md").read_text().split("---\n", 2)

    assert yaml.safe_load(front) == {
        "base_model": "small-base",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["sft"],
    }
    assert whole.before is not None
    assert whole.after is not None
    assert f"| loss | {whole.before['loss']:.3f} | {whole.after['loss']:.3f} |" in body
    assert r"# Adder \| \`one\`" in body
    assert str(whole.run_id) in body


def test_the_model_card_names_no_folder_of_the_machine(folder: Path, rows: Path) -> None:
    card = (folder / "README.md").read_text()

    assert "additions.jsonl" in card
    assert str(rows.parent) not in card


def test_answers_that_nobody_can_mark_are_shown_too(
    train: Callable[..., Run], house: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "greetings.jsonl"
    file.write_text(
        "".join(json.dumps({"instruction": f"Greet {n}", "output": f"Hello, {n}!"}) + "\n" for n in range(30))
    )

    run = train(dataset=str(file))

    answers = house.kept_runs.answers_of(run)
    assert answers
    for answer in answers:
        assert answer["expected"] == f"Hello, {answer['prompt'].removeprefix('Greet ')}!"
        assert answer["before"]["right"] is answer["after"]["right"] is None


def test_an_adapters_card_says_what_it_goes_on_top_of(house: Installation, lora: Run) -> None:
    assert lora.artifact is not None
    card = (house.artifacts.fetch(lora.artifact) / "README.md").read_text()

    assert 'library_name: "peft"' in card
    assert "An adapter for `small-base`" in card
    assert "PeftModel.from_pretrained" in card
