"""`mlx-lora`: imitation on MLX, with LoRA, DoRA or all weights."""

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.trainers.mlx import mlx_lora
from adapters.trainers.mlx.mlx_lora import Options
from domain.errors import InvalidConfigurationOptions, InvalidInput
from domain.training import BadResult
from tests.adapters.trainers.mlx_answers import right_answers
from tests.adapters.trainers.running import Recorded, job, killed, rows, trained, weights

pytestmark = pytest.mark.training

FEW = {"max_steps": 3, "batch_size": 4, "learning_rate": 1e-3, "save_steps": 0}


def few_steps(folder: Path, **options: Any) -> tuple[Any, Recorded]:
    seen = Recorded()
    result = trained("mlx_lora", job(folder, rows("mlx-demo", first=40)), seen, **(FEW | options))
    return result, seen


def test_it_learns_to_answer_held_out_questions(tmp_path: Path) -> None:
    run = job(tmp_path, rows("mlx-demo", first=400))
    result = trained("mlx_lora", run, max_steps=25, batch_size=16, learning_rate=1e-3, save_steps=0)

    before, after = right_answers(None), right_answers(result.folder)

    assert before < 0.4
    assert after > before + 0.3


@pytest.mark.sample("none")
@pytest.mark.parametrize("adapter", ["dora", "none"])
def test_killed_at_any_moment_it_ends_with_the_weights_of_an_uninterrupted_run(tmp_path: Path, adapter: str) -> None:
    data = rows("mlx-demo", first=10)  # a second epoch begins on the way
    options = {
        "max_steps": 4, "batch_size": 4, "save_steps": 2, "lora_dropout": 0.2, "weight_decay": 0.1, "adapter": adapter
    }  # fmt: skip
    whole = trained("mlx_lora", job(tmp_path / "whole", data), **options)
    interrupted = job(tmp_path / "interrupted", data)
    killed("mlx_lora", interrupted, at=3, **options)

    seen = Recorded()
    resumed = trained("mlx_lora", interrupted, seen, **options)

    assert len(seen.steps) == 2  # from the checkpoint after step 2
    assert weights(resumed) == weights(whole)
    assert (resumed.steps, resumed.metrics) == (whole.steps, whole.metrics)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    one, _ = few_steps(tmp_path / "one", lora_dropout=0.2)
    same, _ = few_steps(tmp_path / "same", lora_dropout=0.2)
    other = trained("mlx_lora", job(tmp_path / "other", rows("mlx-demo", first=40), seed=1), **FEW, lora_dropout=0.2)

    assert weights(one) == weights(same) != weights(other)


def test_a_run_whose_last_step_is_in_its_checkpoint_only_saves_again(tmp_path: Path) -> None:
    run = job(tmp_path, rows("mlx-demo", first=10))
    whole = trained("mlx_lora", run, max_steps=2, batch_size=2, save_steps=1)
    expected = weights(whole)

    seen = Recorded()
    again = trained("mlx_lora", run, seen, max_steps=2, batch_size=2, save_steps=1)

    assert seen.steps == []
    assert (weights(again), again.metrics) == (expected, whole.metrics)


def test_all_weights_make_a_model_that_both_libraries_open(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    result, _ = few_steps(tmp_path, adapter="none")

    assert not result.is_adapter
    assert 0 <= right_answers(result.folder, is_adapter=False, of=4) <= 1
    assert AutoModelForCausalLM.from_pretrained(result.folder).num_parameters() > 600_000
    assert AutoTokenizer.from_pretrained(result.folder).chat_template


def test_texts_and_prompts_with_completions_are_taken_too(tmp_path: Path) -> None:
    for number, row in enumerate(
        ({"text": "1+1=2"}, {"prompt": "1+1=", "completion": "2"}), start=1
    ):  # fmt: skip
        run = job(tmp_path / str(number), [row])
        assert trained("mlx_lora", run, **FEW).steps == 3


# What each option visibly changes.


def test_max_steps_are_the_steps_taken(tmp_path: Path) -> None:
    result, seen = few_steps(tmp_path, max_steps=2)
    assert result.steps == len(seen.steps) == 2


def test_the_learning_rate_follows_its_schedule(tmp_path: Path) -> None:
    _, seen = few_steps(tmp_path, max_steps=6, learning_rate=6e-4, warmup_steps=2, lr_scheduler_type="linear")
    assert seen.all("learning_rate") == pytest.approx([0.0, 3e-4, 6e-4, 4.5e-4, 3e-4, 1.5e-4])


def test_the_learning_rate_is_that_of_the_weights(tmp_path: Path) -> None:
    _, seen_fast = few_steps(tmp_path / "fast", learning_rate=5e-3)
    _, seen_slow = few_steps(tmp_path / "slow", learning_rate=1e-7)
    assert seen_fast.all("loss")[-1] < seen_slow.all("loss")[-1] * 0.95


@pytest.mark.parametrize(
    ("option", "value"),
    [("batch_size", 2), ("weight_decay", 0.9), ("max_grad_norm", 1e-4), ("lora_dropout", 0.5), ("max_length", 30),
     ("dtype", "bfloat16")],
)  # fmt: skip
def test_the_option_changes_the_weights(tmp_path: Path, option: str, value: object) -> None:
    plain, _ = few_steps(tmp_path / "plain")
    changed, _ = few_steps(tmp_path / "changed", **{option: value})
    assert weights(plain) != weights(changed)


def test_weight_decay_makes_weights_smaller_and_nothing_else_does(tmp_path: Path) -> None:
    import mlx.core as mx

    def size(**options: Any) -> float:
        result, _ = few_steps(tmp_path / str(options), learning_rate=0.01, **options)
        tensors = mx.load(str(result.folder / "adapters.safetensors"))
        return sum(float(t.abs().sum().item()) for name, t in tensors.items() if name.endswith("lora_a"))

    assert size(weight_decay=1.0) < size(weight_decay=0.0)


def test_gradients_are_left_as_they_are_when_their_largest_norm_is_zero(tmp_path: Path) -> None:
    free, _ = few_steps(tmp_path / "free", max_grad_norm=0)
    huge, _ = few_steps(tmp_path / "huge", max_grad_norm=1e6)
    assert weights(free) == weights(huge)


def test_the_adapter_is_what_was_asked_for(tmp_path: Path) -> None:
    import mlx.core as mx

    result, _ = few_steps(tmp_path, adapter="dora", lora_rank=4, lora_alpha=6, lora_dropout=0.1)

    assert json.loads((result.folder / "adapter_config.json").read_text()) == {
        "fine_tune_type": "dora",
        "num_layers": 3,
        "lora_parameters": {"rank": 4, "scale": 1.5, "dropout": 0.1},
    }
    tensors = mx.load(str(result.folder / "adapters.safetensors"))
    assert {t.shape[1] for name, t in tensors.items() if name.endswith("lora_a")} == {4}
    assert result.is_adapter


def test_every_weight_has_the_asked_precision(tmp_path: Path) -> None:
    import mlx.core as mx

    result, _ = few_steps(tmp_path, adapter="none", dtype="bfloat16")
    assert {t.dtype for t in mx.load(str(result.folder / "model.safetensors")).values()} == {mx.bfloat16}


def test_checkpoints_are_made_as_often_as_asked(tmp_path: Path) -> None:
    few_steps(tmp_path / "some", save_steps=2, max_steps=5)
    few_steps(tmp_path / "none", save_steps=0)
    assert {path.name for path in (tmp_path / "some" / "checkpoints").iterdir()} == {"checkpoint-2", "checkpoint-4"}
    assert not (tmp_path / "none" / "checkpoints").exists()


def test_a_step_computed_in_parts_is_the_same_step_in_less_memory(tmp_path: Path) -> None:
    import mlx.core as mx

    def run(**options: Any) -> tuple[list[float], int]:
        mx.reset_peak_memory()
        _, seen = few_steps(tmp_path / str(options), batch_size=32, max_steps=2, **options)
        return seen.all("loss"), mx.get_peak_memory()

    plain, memory = run()
    in_parts, memory_in_parts = run(gradient_accumulation_steps=8)
    again, memory_again = run(gradient_checkpointing=True)

    assert in_parts == pytest.approx(plain, rel=1e-3)
    assert again == pytest.approx(plain, rel=1e-3)
    assert memory_in_parts < memory / 2
    assert memory_again < memory * 0.9


def test_epochs_above_zero_decide_how_many_steps_there_are(tmp_path: Path) -> None:
    result, seen = few_steps(tmp_path, epochs=0.3, max_steps=9)
    assert result.steps == len(seen.steps) == 3  # of the ten batches that 40 rows are


def test_no_option_is_without_a_test_of_what_it_changes() -> None:
    here = Path(__file__).read_text()
    assert [name for name in Options.model_fields if here.count(name) < 1] == []


# What cannot be believed or taken.


def test_a_learning_rate_that_breaks_the_model_is_a_bad_result(tmp_path: Path) -> None:
    beyond_every_limit = Options(**FEW, adapter="none").model_copy(update={"learning_rate": 1e30})
    with pytest.raises(BadResult, match="Lower learning_rate"):
        mlx_lora.train(job(tmp_path, rows("mlx-demo", first=8)), beyond_every_limit, Recorded())


def test_weights_that_never_change_are_a_bad_result(tmp_path: Path) -> None:
    with pytest.raises(BadResult, match="did not change a single weight"):
        few_steps(tmp_path, max_steps=1, warmup_steps=1)  # the warm-up begins at zero


def test_rows_cut_off_before_anything_is_learned_are_a_bad_result(tmp_path: Path) -> None:
    with pytest.raises(BadResult, match="Raise max_length"):
        few_steps(tmp_path, max_length=8)


def test_parts_that_do_not_divide_the_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigurationOptions, match="multiple of option 'gradient_accumulation_steps'"):
        few_steps(tmp_path, gradient_accumulation_steps=3)


def test_rows_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"takes rows with messages; or .* This dataset has prompt, answer"):
        trained("mlx_lora", job(tmp_path, rows("grpo-demo", first=4)), **FEW)
