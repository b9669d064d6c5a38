"""What holds for every trainer on torch: it learns, it is repeatable, and a stopped run goes on as if nothing was."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from adapters.artifacts.artifact_store import hash_of
from adapters.evaluation import evaluate
from adapters.trainers import load
from domain.errors import BadResult, InvalidConfigurationOptions, InvalidInput
from domain.ports import Device
from domain.training import TrainingJob
from tests.adapters.custom_code.test_built_in_trainers import IN_FULL

pytestmark = pytest.mark.training

Jobs = Callable[..., TrainingJob]
CPU = Device("cpu", "CPU")


@dataclass(frozen=True)
class Case:
    """A trainer with what it is given, and what its held-out measure must reach in a few steps."""

    trainer: str
    dataset: str
    measure: str
    reaches: float
    options: dict[str, Any] = field(default_factory=dict)
    steps: int = 20

    def __str__(self) -> str:
        return "-".join([self.trainer, *(str(v) for k, v in self.options.items() if k == "adapter")])


PAIRS, MARKED = "sft-demo in pairs", "sft-demo marked"
CASES = [
    Case("sft", "sft-demo", "accuracy", 0.6),
    Case("sft", "sft-demo", "accuracy", 0.5, options={"adapter": "lora", "learning_rate": 3e-3}),
    Case("peft", "sft-demo", "accuracy", 0.5, options={"adapter": "rslora", "learning_rate": 2e-3}),
    Case("peft", "sft-demo", "accuracy", 0.5, options={"adapter": "dora", "learning_rate": 3e-3}),
    Case("peft", "sft-demo", "accuracy", 0.5, options={"adapter": "ia3", "learning_rate": 0.1}, steps=40),
    Case("dpo", PAIRS, "preference_accuracy", 0.9),
    Case("orpo", PAIRS, "preference_accuracy", 0.9),
    Case("reward", PAIRS, "preference_accuracy", 0.9),
    Case("kto", MARKED, "preference_accuracy", 0.9, options={"learning_rate": 1e-3}),
    Case("grpo", "grpo-demo", "accuracy", 0.45),
    Case("rloo", "grpo-demo", "accuracy", 0.45),
]
each_case = pytest.mark.parametrize("case", CASES, ids=str)
# In every run the conformance kit sees the others go on (tests/adapters/custom_code/test_built_in_trainers.py).
NOT_CHECKED = [case for case in CASES if "adapter" in case.options or case.trainer in IN_FULL]


def trained(case: Case, job: TrainingJob, heard: Any, **changes: Any) -> Any:
    fields: dict[str, Any] = {"learning_rate": 3e-4, "lr_scheduler_type": "constant", "save_steps": 0}
    if case.dataset == "grpo-demo":
        fields |= {"learning_rate": 1e-4, "max_completion_length": 32, "num_generations": 8}
    trainer = load(case.trainer)
    return trainer.train(job, trainer.Options(**fields | case.options | changes), heard)


@pytest.mark.sample("dpo", "kto", "grpo")
@each_case
def test_the_held_out_measure_moves_the_right_way(case: Case, job: Jobs, hearing: Any) -> None:
    demo = job(case.dataset)
    batch_size = 64 if case.dataset == "grpo-demo" else 16

    result = trained(case, demo, hearing(), max_steps=case.steps, batch_size=batch_size)

    before = evaluate(demo.base_model, None, demo.held_out, device=CPU, is_adapter=False, seed=0)
    after = evaluate(demo.base_model, result.folder, demo.held_out, device=CPU, is_adapter=result.is_adapter, seed=0)
    assert after.metrics[case.measure] > case.reaches > before.metrics[case.measure]


@pytest.mark.sample("sft-lora", "peft-dora", "rloo")
# With the trainers' own adapters the conformance kit sees it (tests/adapters/custom_code/test_built_in_trainers.py).
@pytest.mark.parametrize(
    "case", [case for case in CASES if "adapter" in case.options or case.trainer == "rloo"], ids=str
)
def test_a_run_that_was_stopped_goes_on_from_its_checkpoint_to_the_same_weights(
    case: Case, job: Jobs, hearing: Any
) -> None:
    how = {"max_steps": 4, "batch_size": 8, "save_steps": 2}
    whole = trained(case, job(case.dataset, folder="whole"), hearing(), **how)
    with pytest.raises(KeyboardInterrupt):
        trained(case, job(case.dataset, folder="stopped"), hearing(stop_after=3), **how)

    heard = hearing()
    resumed = trained(case, job(case.dataset, folder="stopped"), heard, **how)

    assert [step for step, _, _ in heard.told] == [3, 4]
    assert (resumed.steps, resumed.metrics) == (whole.steps, whole.metrics)
    assert hash_of(resumed.folder) == hash_of(whole.folder)


def test_prompt_tuning_finds_virtual_tokens_that_make_the_demonstrations_likelier(job: Jobs, hearing: Any) -> None:
    # On a base model this small the best of them are no better than none, so no held-out measure is asserted.
    case, heard = Case("peft", "sft-demo", "loss", 0.0, {"adapter": "prompt", "learning_rate": 0.02}), hearing()

    result = trained(case, job(), heard, max_steps=20, batch_size=16, virtual_tokens=8)

    assert result.is_adapter
    assert heard.told[-1][2]["loss"] < heard.told[0][2]["loss"] / 5


def test_four_bits_are_refused_where_they_cannot_run(job: Jobs, hearing: Any) -> None:
    case = Case("peft", "sft-demo", "loss", 0.0, {"quantization": "4bit"})

    with pytest.raises(InvalidConfigurationOptions, match="4bit needs a CUDA GPU"):
        trained(case, job(), hearing(), max_steps=1, batch_size=4)


def test_answers_that_are_all_wanted_teach_nothing_about_the_unwanted(job: Jobs, hearing: Any) -> None:
    case = Case("kto", MARKED, "margin", 0.0)
    wanted = [row for row in job(MARKED).rows if row["label"]]

    with pytest.raises(InvalidInput, match="Add rows with false"):
        trained(case, job(MARKED, rows=wanted), hearing(), max_steps=1, batch_size=4)


@pytest.mark.parametrize("trainer", ["dpo", "orpo", "reward", "kto"])
def test_prompts_that_leave_no_room_for_an_answer_fail_the_run(trainer: str, job: Jobs, hearing: Any) -> None:
    case = Case(trainer, MARKED if trainer == "kto" else PAIRS, "margin", 0.0)
    long = [{**row, "prompt": [{"role": "user", "content": "1" * 600}]} for row in job(case.dataset).rows[:8]]

    with pytest.raises(BadResult, match="Raise max_length"):
        trained(case, job(case.dataset, rows=long), hearing(), max_steps=1, batch_size=4)


def test_label_smoothing_is_refused_where_the_loss_would_ignore_it(job: Jobs, hearing: Any) -> None:
    case = Case("dpo", PAIRS, "margin", 0.0, {"label_smoothing": 0.1})

    with pytest.raises(InvalidConfigurationOptions, match="for loss_type robust"):
        trained(case, job(PAIRS), hearing(), max_steps=1, batch_size=4)
