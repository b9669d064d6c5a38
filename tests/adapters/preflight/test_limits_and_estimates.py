"""Tokens, batches, leaks, memory, disk and time, told or refused before a training begins."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from adapters.preflight import Measured, Room, facts_of
from adapters.preflight.estimating import measuring_memory
from domain.catalogue.method_spec import Backend, MethodType
from domain.errors import InvalidConfigurationOptions, InvalidDataset, InvalidRunRequest
from domain.ports import BaseModel, Device
from domain.runs.run_plan import Counted, RunPlan

Changed = Callable[..., BaseModel]
Look = Callable[..., RunPlan]

QUESTION = {"prompt": "1+1=", "answer": "2"}


def talk(asked: str, said: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]}


def of_which_a_quarter_is_long(count: int) -> list[dict[str, Any]]:
    return [talk(f"{n}+1=", "2" * (100 if n % 4 == 0 else 5)) for n in range(count)]


# Tokens and limits.


def test_the_base_models_positions_are_a_limit_beside_max_length(look: Look) -> None:
    assert (look(max_length=1024).tokens.limit, look(max_length=100).tokens.limit) == (512, 100)


def test_rows_that_lose_their_end_are_counted_and_told(look: Look) -> None:
    plan = look(of_which_a_quarter_is_long(20), max_length=64)

    assert plan.tokens.cut == 5
    assert "5 of 20 rows are longer than the 64 tokens that are kept" in plan.warnings[0]


def test_of_very_many_rows_a_part_is_looked_at_and_the_share_is_told(look: Look) -> None:
    plan = look(of_which_a_quarter_is_long(8000), [talk("9+9=", "18")], max_length=64)

    assert plan.tokens.examined == 1000
    assert 0.2 < plan.tokens.cut_share < 0.3
    assert f"About {8 * plan.tokens.cut} of 8000 rows are longer" in plan.warnings[0]


@pytest.mark.parametrize("length", [4, 9])
def test_a_training_where_every_row_would_lose_its_end_is_refused(look: Look, length: int) -> None:
    with pytest.raises(InvalidDataset, match=f"Of each row {length} tokens are kept, and the rows have .* max_length"):
        look(max_length=length)


def test_long_texts_may_all_be_cut_since_every_part_of_a_text_is_learned(look: Look) -> None:
    texts = [{"text": "all work and no play " * n} for n in range(5, 9)]

    assert look(texts, [{"text": "x"}], max_length=64).tokens.cut == 4


def test_prompts_that_leave_no_room_for_an_answer_are_refused(look: Look) -> None:
    long = [{"prompt": "1+" * 300 + str(n), "answer": "1"} for n in range(9)]

    with pytest.raises(InvalidDataset, match="room for prompts of 480 tokens beside their answers"):
        look(long, [QUESTION], types=(MethodType.GRPO,), max_completion_length=32)


# Batches and steps.


@pytest.mark.parametrize("part", ["num_generations", "gradient_accumulation_steps", "mini_batch_size"])
def test_a_batch_that_does_not_part_evenly_is_refused_naming_both_options(look: Look, part: str) -> None:
    with pytest.raises(InvalidConfigurationOptions, match=rf"'batch_size' \(8\) must be a multiple of option '{part}'"):
        look(batch_size=8, **{part: 3})


def test_a_batch_that_is_no_equal_share_for_every_process_is_refused(look: Look) -> None:
    assert look(batch_size=8, processes=2).counted.memory > look(batch_size=8).counted.memory
    with pytest.raises(InvalidConfigurationOptions, match=r"'batch_size' \(8\) .* 'processes' \(2\) times .* \(8\)"):
        look(batch_size=8, processes=2, gradient_accumulation_steps=8)


def test_a_step_that_asks_more_prompts_than_there_are_is_refused(look: Look) -> None:
    with pytest.raises(InvalidDataset, match=r"asks 8 different prompts .* only 4 rows"):
        look([QUESTION] * 4, [QUESTION | {"prompt": "x"}], types=(MethodType.GRPO,), batch_size=64, num_generations=8)


def test_epochs_are_told_as_the_steps_that_they_take_and_decide_over_max_steps(look: Look) -> None:
    rows = [talk(str(n), "x") for n in range(10)]

    assert look(rows, batch_size=4, epochs=2.0, max_steps=50).steps == 6
    assert look(rows, batch_size=4, epochs=0.1, max_steps=50).steps == 1
    assert look(rows, batch_size=4, epochs=0.0, max_steps=50).steps == 50
    assert "Lower epochs" in look(rows, batch_size=4, epochs=21.0).warnings[0]


def test_packed_rows_are_counted_as_the_rows_that_they_hold(look: Look) -> None:
    apart, packed = look(batch_size=4, max_length=128), look(batch_size=4, max_length=128, packing=True)

    assert apart.rows_a_step == 4
    assert packed.rows_a_step == round(4 * 128 / packed.tokens.mean)
    assert look(batch_size=4, max_length=128, packing=True, epochs=1.0).steps < look(batch_size=4, epochs=1.0).steps
    assert packed.counted.memory > apart.counted.memory


def test_a_learning_rate_that_never_reaches_its_highest_is_told(look: Look) -> None:
    assert "never reaches its highest" in look(warmup_steps=10, max_steps=10).warnings[0]


def test_rows_that_are_seen_very_often_are_told(look: Look) -> None:
    assert "Each row is seen about 120 times" in look(max_steps=600, batch_size=4).warnings[0]


def test_a_long_training_without_checkpoints_is_told(look: Look) -> None:
    def told(save_steps: int) -> bool:
        return any("No checkpoint is kept" in said for said in look(max_steps=600, save_steps=save_steps).warnings)

    assert told(0)
    assert told(601)
    assert not told(50)


# Held-out rows that are trained on.


def test_held_out_rows_that_are_trained_on_are_told_also_when_only_white_space_differs(look: Look) -> None:
    plan = look([talk("1 + 1", "2"), talk("2 + 2", "4")] * 10, [talk(" 1  +\n1", "2"), talk("5", "6")])

    assert plan.warnings == (
        "There are 2 held-out rows, and 1 of them is also trained on (the first: «1 + 1»): for these, measuring shows "
        "memory only.",
    )


def test_nothing_but_leaked_rows_is_refused(look: Look) -> None:
    with pytest.raises(InvalidDataset, match="All 1 held-out rows are also trained on"):
        look([talk("a", "b")], [talk("a ", "c")])


# Memory, disk and time.


def test_a_model_whose_weights_and_optimiser_alone_exceed_the_memory_is_refused(look: Look, room: Room) -> None:
    small = replace(room, memory_total=8 * 10**6)

    assert look(room=small, adapter="lora", lora_rank=1)
    with pytest.raises(InvalidRunRequest, match=r"alone take .* Train an adapter"):
        look(room=small)


def test_weights_in_four_bits_or_in_the_files_own_precision_need_the_room_that_these_need(
    look: Look, room: Room
) -> None:
    tight = replace(room, memory_total=2_500_000)  # less than the 2.7 MB that the weights take in 32 bits

    with pytest.raises(InvalidRunRequest, match="alone take"):
        look(room=tight, adapter="lora", lora_rank=1)
    assert look(room=tight, adapter="lora", lora_rank=1, quantization="4bit")
    assert look(room=tight, adapter="lora", lora_rank=1, dtype="bfloat16", device="mlx", backend=Backend.MLX)


def test_small_adapters_are_counted_as_small(look: Look) -> None:
    lora = look(adapter="lora").trained

    assert look(adapter="prompt", virtual_tokens=16).trained == 16 * 128
    assert look(adapter="ia3").trained < lora < look(adapter="dora").trained


def test_a_training_that_may_not_fit_into_what_is_free_is_told(look: Look, room: Room) -> None:
    assert "of memory, and 1.0 MB are free" in look(room=replace(room, memory_free=10**6)).warnings[0]


def test_a_disk_without_room_for_checkpoints_and_artefact_is_refused(look: Look, room: Room) -> None:
    with pytest.raises(InvalidRunRequest, match="TMM_HOME"):
        look(room=replace(room, disk_free=10**6))


def test_checkpoints_take_room_on_the_disk_where_they_are_kept(look: Look) -> None:
    assert look(max_steps=10, save_steps=5).disk_needed > look(max_steps=10, save_steps=0).disk_needed


def test_more_steps_take_more_time_and_more_rows_at_once_more_memory(look: Look) -> None:
    small = look(batch_size=4)

    assert look(batch_size=4, max_steps=20).estimate.seconds > small.estimate.seconds
    assert look(batch_size=16).estimate.memory > small.estimate.memory
    assert look(batch_size=4, gradient_accumulation_steps=4).estimate.memory < small.estimate.memory


def test_estimates_are_corrected_by_what_earlier_trainings_took(look: Look) -> None:
    usual = Measured(Counted(1e9, 0.1), memory=2e9, seconds_a_step=0.5, seconds_beside=30.0)
    stuck = Measured(Counted(1e9, 0.1), memory=9e9, seconds_a_step=99.0, seconds_beside=999.0)

    rough, better = look(), look(measured=[usual, stuck, usual])

    assert (rough.estimate.runs, better.estimate.runs) == (0, 3)
    assert better.estimate.seconds_a_step == pytest.approx(5 * rough.counted.seconds_a_step)
    assert better.estimate.memory == pytest.approx(2 * rough.counted.memory)
    assert better.estimate.seconds == pytest.approx(30 + 10 * better.estimate.seconds_a_step)


def test_a_model_of_another_size_teaches_nothing(look: Look) -> None:
    tiny = Measured(Counted(1e9, 0.1), memory=9e9, seconds_a_step=5.0, seconds_beside=30.0, parameters=60_000)
    alike = Measured(Counted(1e9, 0.1), memory=2e9, seconds_a_step=0.5, seconds_beside=30.0, parameters=1_000_000)
    untaught = look().estimate

    assert look(measured=[tiny] * 10).estimate == untaught
    learned = look(measured=[*[tiny] * 10, alike]).estimate
    assert learned.memory == pytest.approx(2 * untaught.memory)
    assert learned.runs == 1


def test_measuring_is_estimated_and_bounded_whatever_the_vocabulary(base_model: Changed) -> None:
    def measuring(vocabulary: int) -> float:
        facts = replace(facts_of(base_model()), vocabulary=vocabulary)
        return measuring_memory(facts, Device("cuda", "a GPU"), longest=4096, rows=200)

    assert measuring(152_000) == measuring(1_000_000) < 1e9
    assert measuring(272) < measuring(32_000)


def test_measuring_that_takes_more_than_training_is_what_a_run_needs(look: Look, base_model: Changed) -> None:
    base = base_model(vocab_size=152_000)
    plan = look(base=base, batch_size=1)
    facts = facts_of(base)
    expected = measuring_memory(facts, Device("cpu", "CPU"), longest=plan.tokens.longest, rows=plan.held_out)
    assert plan.counted.memory == expected > look(batch_size=1).counted.memory
