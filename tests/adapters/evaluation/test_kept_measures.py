"""A base model is measured once for the very same, and again for anything else."""

from pathlib import Path
from typing import Any

import pytest

from adapters.evaluation.kept_measures import measured_once
from domain.ports import Answer, Evaluation
from tests.support.people import PROVENANCE

MEASURED = Evaluation({"accuracy": 0.25}, [Answer(prompt="1+1=", expected="2", said="3", right=False)])


class Measuring:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Evaluation:
        self.times += 1
        return MEASURED


def test_the_same_is_measured_once(tmp_path: Path) -> None:
    measuring = Measuring()
    for _ in range(3):
        assert measured_once(tmp_path, PROVENANCE, 0, measuring) == MEASURED
    assert measuring.times == 1
    # Neither what is trained on nor how it is trained changes the base model.
    measured_once(
        tmp_path, PROVENANCE.model_copy(update={"dataset_hash": "0" * 64, "code_hash": "1" * 64}), 0, measuring
    )
    assert measuring.times == 1


@pytest.mark.parametrize(
    ("changed", "seed"),
    [
        ({}, 1),
        ({"base_model_hash": "0" * 64}, 0),
        ({"held_out_hash": "0" * 64}, 0),
        ({"packages": {"torch": "0"}}, 0),
        ({"device": "another"}, 0),
        ({"machine": "another"}, 0),
    ],
)
def test_anything_else_is_measured_again(tmp_path: Path, changed: dict[str, Any], seed: int) -> None:
    measuring = Measuring()
    measured_once(tmp_path, PROVENANCE, 0, measuring)
    measured_once(tmp_path, PROVENANCE.model_copy(update=changed), seed, measuring)
    assert measuring.times == 2


def test_what_is_damaged_is_measured_again(tmp_path: Path) -> None:
    measuring = Measuring()
    measured_once(tmp_path, PROVENANCE, 0, measuring)
    (file,) = tmp_path.iterdir()
    for damage in ("", "{}", "[]", '{"metrics": {}, "answers": [{}]}'):
        file.write_text(damage)
        assert measured_once(tmp_path, PROVENANCE, 0, measuring) == MEASURED
    assert measuring.times == 5
