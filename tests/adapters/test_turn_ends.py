"""A model stops where its chat template ends a turn, also where its tokenizer names another token as the end."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.evaluation import evaluate, opened
from adapters.exports.model_folder import export
from adapters.shared.opening import tokenizer_of
from adapters.turn_ends import ends_of, keep_ends
from domain.catalogue.method_spec import Backend
from domain.ports import BaseModel, Device
from tests.adapters.trainers.running import SMALL_BASE, job, rows, trained

TURNS = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
END_OF_TEXT, END_OF_TURN = 1, 265


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base model as many come: its end token ends texts, its template ends turns with another one."""
    folder = tmp_path / "base"
    shutil.copytree(SMALL_BASE, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_bytes())
    tokenizer["added_tokens"].append(tokenizer["added_tokens"][-1] | {"id": END_OF_TURN, "content": "<|im_end|>"})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "chat_template.jinja").write_text(TURNS)
    return folder


@pytest.mark.parametrize(
    ("after", "ends"),
    [
        ("<|im_end|>\n", [END_OF_TEXT, END_OF_TURN]),
        (" <|end|>", [END_OF_TEXT]),
        ("", [END_OF_TEXT]),
        (" said.\n", [END_OF_TEXT]),
    ],
)
def test_the_token_right_after_an_answer_ends_it(base: Path, after: str, ends: list[int]) -> None:
    tokenizer = tokenizer_of(str(base))
    tokenizer.chat_template = TURNS.replace("<|im_end|>", after)
    assert ends_of(tokenizer) == ends
    assert ends_of(tokenizer, named=7) == [*ends[:1], 7, *ends[1:]]


def test_a_config_that_says_all_already_is_left_as_it_is(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(SMALL_BASE)
    keep_ends(tmp_path, tokenizer)
    assert not any(tmp_path.iterdir())

    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [1, 0]}')
    keep_ends(tmp_path, tokenizer)
    assert (tmp_path / "generation_config.json").read_text() == '{"eos_token_id": [1, 0]}'


@pytest.mark.training
@pytest.mark.parametrize(
    ("trainer", "options"),
    [
        ("sft", {}),
        ("mlx_lora", {}),
        pytest.param("sft", {"adapter": "lora"}, marks=pytest.mark.full),
        pytest.param("mlx_lora", {"adapter": "none"}, marks=pytest.mark.full),
    ],
)
def test_what_was_trained_names_both_ends_for_other_programs(
    trainer: str, options: dict[str, Any], base: Path, tmp_path: Path
) -> None:
    on_mlx = trainer.startswith("mlx")
    run = job(tmp_path / "run", rows("sft-demo", first=8), device="mlx" if on_mlx else "cpu")
    result = trained(trainer, replace(run, base_model=str(base)), max_steps=1, batch_size=4, save_steps=0, **options)

    backend = Backend.MLX if on_mlx else Backend.CUDA
    export(result.folder, BaseModel("base", str(base), "0" * 64), tmp_path / "out", backend=backend)

    for folder in (result.folder, tmp_path / "out"):
        named = json.loads((folder / "generation_config.json").read_bytes())["eos_token_id"]
        assert named == [END_OF_TEXT, END_OF_TURN]


@pytest.mark.training
@pytest.mark.full  # a whole training, half a minute
def test_a_model_learns_to_stop_at_the_end_of_its_turn(base: Path, tmp_path: Path) -> None:
    run = job(tmp_path / "run", rows("sft-demo", first=1600), device="cpu")
    how = {"max_steps": 150, "batch_size": 32, "learning_rate": 1e-3, "save_steps": 0}
    result = trained("sft", replace(run, base_model=str(base)), **how)

    held_out, device = rows("sft-demo", "held_out", first=200), Device("cpu", "CPU")
    measured = evaluate(str(base), result.folder, held_out, device=device, is_adapter=False, seed=0).metrics
    assert measured["format"] > 0.9  # 0.18 of answers that go on after their end


@pytest.mark.training
@pytest.mark.parametrize("name", ["cpu", "mlx"])
def test_an_answer_is_told_without_the_token_that_ended_it(
    name: str, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every token ends an answer here, so nothing is left of it."""
    every: Callable[..., Any] = lambda *_: list(range(272))  # noqa: E731
    for module in ("torch_model", "mlx_model"):
        monkeypatch.setattr(f"adapters.evaluation.{module}.ends_of", every)
    with opened(str(base), None, device=Device(name, name), is_adapter=False) as model:
        assert model.say([[{"role": "user", "content": "1+1="}]], longest=5, seed=0) == [""]
