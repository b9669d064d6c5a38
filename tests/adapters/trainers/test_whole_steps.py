"""However a step's rows fall into parts and processes, it is the step that it would be in one piece."""

from pathlib import Path
from typing import Any

import pytest

from adapters.trainers.whole_steps import Shares
from tests.adapters.trainers.running import Recorded, job, pairs, rows, trained

NINE: dict[str, Any] = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "save_steps": 0}


def uneven(*, first: int) -> list[dict[str, Any]]:
    """Demonstrations of very different lengths, so that a mean of means shows."""
    return [
        {
            "messages": [
                row["messages"][0],
                {
                    "role": "assistant",
                    "content": f"<think>{'so ' * (7 * number % 23)}</think><answer>{number}</answer>",
                },
            ]
        }
        for number, row in enumerate(rows("sft-demo", first=first))
    ]


@pytest.mark.parametrize(
    ("rows", "each", "parts", "processes"), [(9, 2, 1, 2), (9, 4, 1, 1), (7, 2, 2, 1), (13, 1, 2, 4), (3, 2, 2, 2)]
)
def test_every_row_of_a_step_counts_once_and_their_weights_are_those_of_a_mean(
    rows: int, each: int, parts: int, processes: int
) -> None:
    shares = Shares(rows, each, parts, processes)
    batch = each * parts * processes
    for step in range(2 * -(-rows // batch)):
        of_step = min(batch, rows - step % -(-rows // batch) * batch)
        here = -(-of_step // (each * processes))
        all_of_it = [shares.of(p, step=step, part=part, parts=here) for p in range(processes) for part in range(here)]
        assert sum(share.rows for share in all_of_it) == of_step
        # A row's weight is its share's, divided by its rows, its parts and all processes.
        assert {round(share.weight / (share.rows * here * processes), 12) for share in all_of_it if share.rows} == {
            round(1 / of_step, 12)
        }
        assert all(share.weight == 0 for share in all_of_it if not share.rows)


@pytest.mark.training
@pytest.mark.parametrize(
    ("trainer", "shared"),
    [
        pytest.param("sft", {"processes": 2}, id="sft in two processes"),
        pytest.param("dpo", {"processes": 2}, id="dpo in two processes", marks=pytest.mark.full),
        pytest.param("reward", {"processes": 2}, id="reward in two processes", marks=pytest.mark.full),
        pytest.param("sft", {"packing": True, "processes": 2}, id="packed", marks=pytest.mark.full),
        pytest.param("dpo", {"gradient_accumulation_steps": 2}, id="dpo in parts"),
        pytest.param("reward", {"gradient_accumulation_steps": 2}, id="reward in parts", marks=pytest.mark.full),
        pytest.param("orpo", {"gradient_accumulation_steps": 2}, id="orpo in two parts"),
        pytest.param("orpo", {"gradient_accumulation_steps": 4}, id="orpo in four parts", marks=pytest.mark.full),
    ],
)
def test_an_uneven_last_batch_is_learned_as_in_one_piece(trainer: str, shared: dict[str, Any], tmp_path: Path) -> None:
    packing = {"packing": True, "max_length": 64} if "packing" in shared else {}
    data = uneven(first=41 if packing else 11) if trainer == "sft" else pairs("sft-demo", first=11)
    whole, in_shares = Recorded(), Recorded()

    trained(trainer, job(tmp_path / "whole", data, device="cpu"), whole, **NINE, **packing)
    trained(trainer, job(tmp_path / "shares", data, device="cpu"), in_shares, **NINE | packing | shared)

    assert packing or len(whole.steps) == 6
    for metric in {"loss", "grad_norm", "preference_accuracy", "margin", "log_odds_ratio"} & whole.steps[0].keys():
        assert in_shares.all(metric) == pytest.approx(whole.all(metric), rel=1e-3, abs=1e-4)
