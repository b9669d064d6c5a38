"""Every option that a trainer on torch declares visibly changes what it names."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from adapters.artifacts.artifact_store import hash_of
from adapters.trainers import common_options, load
from domain.errors import InvalidInput
from domain.training import TrainingResult
from tests.adapters.custom_code.test_built_in_trainers import IN_FULL
from tests.adapters.trainers.running import Recorded, job, rows
from tests.adapters.trainers.shaped_rows import SHAPES

pytestmark = pytest.mark.training

DATASETS = {
    "sft": "sft-demo",
    "peft": "sft-demo",
    "dpo": "sft-demo in pairs",
    "orpo": "sft-demo in pairs",
    "reward": "sft-demo in pairs",
    "kto": "sft-demo marked",
    "grpo": "grpo-demo",
    "rloo": "grpo-demo",
}
SHORT = {"max_steps": 2, "batch_size": 4, "learning_rate": 1e-3, "lr_scheduler_type": "constant", "save_steps": 0}
SAMPLED = {"batch_size": 8, "num_generations": 4, "max_completion_length": 24, "rewards": "length(14)=1, format=0.2"}


@dataclass(frozen=True)
class Seen:
    """What can be seen of a run from outside."""

    result: TrainingResult
    told: list[Mapping[str, float]]
    checkpoints: list[str]
    recomputed: int

    @property
    def weights(self) -> str:
        return hash_of(self.result.folder)

    def each(self, metric: str) -> list[float]:
        return [metrics.get(metric, -1.0) for metrics in self.told]


Look = Callable[[Seen], Any]


@dataclass(frozen=True)
class Change:
    """An option's other value, the options that both runs have beside it, and where the difference shows."""

    to: Any
    look: Look = lambda seen: seen.weights
    beside: tuple[tuple[str, Any], ...] = ()


LORA = (("adapter", "lora"), ("lora_dropout", 0.05))
CHANGES = {
    "max_steps": Change(3, lambda seen: seen.result.steps),
    "batch_size": Change(12),
    "learning_rate": Change(2e-3, lambda seen: seen.each("learning_rate")),
    "lr_scheduler_type": Change("linear", lambda seen: seen.each("learning_rate")),
    "warmup_steps": Change(2, lambda seen: seen.each("learning_rate")),
    "weight_decay": Change(0.5),
    "max_grad_norm": Change(1e-3),
    "epochs": Change(0.5, lambda seen: seen.result.steps),
    "packing": Change(True),
    "max_length": Change(20),
    "lora_rank": Change(2, lambda seen: (seen.result.folder / "adapter_model.safetensors").stat().st_size, LORA),
    "lora_alpha": Change(64.0, beside=LORA),
    "lora_dropout": Change(0.5, beside=LORA),
    "adapter": Change("lora", lambda seen: seen.result.is_adapter),
    "virtual_tokens": Change(
        3,
        lambda seen: (seen.result.folder / "adapter_model.safetensors").stat().st_size,
        (("adapter", "prompt"),),
    ),
    "gradient_accumulation_steps": Change(2),
    "gradient_checkpointing": Change(True, lambda seen: seen.recomputed > 0),
    "dtype": Change("bfloat16"),
    "save_steps": Change(1, lambda seen: seen.checkpoints),
    "num_generations": Change(2),
    "max_completion_length": Change(6, lambda seen: max(seen.each("completion_length"))),
    "temperature": Change(0.3, lambda seen: seen.each("completion_length")),
    "top_p": Change(0.9, lambda seen: seen.each("completion_length")),
    "rewards": Change("length(10)=1", lambda seen: seen.each("reward_format")),
    "beta": Change(0.5),
    "epsilon": Change(0.001, beside=(("num_iterations", 2), ("max_steps", 4), ("learning_rate", 1e-5))),
    "num_iterations": Change(2),
    "loss_type": Change("ipo"),
    "scale_rewards": Change("none"),
    "normalize_advantages": Change(True),
    "label_smoothing": Change(0.3, beside=(("loss_type", "robust"),)),
    "desirable_weight": Change(3.0),
    "undesirable_weight": Change(3.0),
    "center_rewards_coefficient": Change(1.0),
}
OWN = {
    ("reward", "max_length"): Change(30),
    ("peft", "adapter"): Change("dora", lambda seen: (seen.result.folder / "adapter_config.json").read_text()),
    ("grpo", "loss_type"): Change("dr_grpo"),
    ("grpo", "beta"): Change(0.5, lambda seen: max(seen.each("kl")) > -1.0),
    ("rloo", "beta"): Change(0.5, lambda seen: max(seen.each("kl")) > -1.0),
}
SHARING = ("sft", "peft", "dpo", "reward", "grpo", "rloo")
# What several processes and machines are good for is in test_several_processes.py; three of them cannot share four rows
# evenly.
REFUSED_HERE = {
    **{(trainer, option): 3 for trainer in SHARING for option in common_options.ProcessOptions.model_fields},
    ("peft", "quantization"): "4bit",
    ("grpo", "reward_model"): "a-model-that-is-not-there",
    ("rloo", "reward_model"): "a-model-that-is-not-there",
}

# The options that trainers share go through the same lines for all of them: sft and grpo stand for the others.
STAND_FOR_ALL = ("sft", "grpo")
# What changes the weights is seen by the conformance kit in every run
# (tests/adapters/custom_code/test_built_in_trainers.py).
CHECKED = DATASETS.keys() - IN_FULL
SHARED = {
    option
    for group in (
        common_options.OptimiserOptions,
        common_options.EpochOptions,
        common_options.PackingOptions,
        common_options.MemoryOptions,
        common_options.CheckpointOptions,
        common_options.ProcessOptions,
        common_options.LengthOptions,
        common_options.AdapterOptions,
        common_options.SamplingOptions,
        common_options.RewardModelOptions,
    )
    for option in group.model_fields
}


def _always(trainer: str, option: str) -> bool:
    stands = trainer in STAND_FOR_ALL or option not in SHARED or option in load(trainer).Options.__annotations__
    return stands and (trainer not in CHECKED or _shows_elsewhere(trainer, option))


def _shows_elsewhere(trainer: str, option: str) -> bool:
    if (trainer, option) in REFUSED_HERE:
        return True
    return (OWN.get((trainer, option)) or CHANGES[option]).look is not Change.look


each_option = pytest.mark.parametrize(
    ("trainer", "option"),
    [
        pytest.param(name, option, marks=() if _always(name, option) else pytest.mark.full)
        for name in DATASETS
        for option in load(name).Options.model_fields
    ],
)


@contextmanager
def counted_recomputations() -> Iterator[Callable[[], int]]:
    """How often torch is asked to forget activations and to compute them again."""
    from transformers import modeling_utils

    plain, calls = modeling_utils.checkpoint, [0]

    def counting(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        return plain(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modeling_utils, "checkpoint", counting)
        yield lambda: calls[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Seen]:
    """Trains with a trainer and options; the same ones are trained with once."""

    @cache
    def once(name: str, chosen: tuple[tuple[str, Any], ...]) -> Seen:
        folder: Path = tmp_path_factory.mktemp(name)
        sample, _, shape = DATASETS[name].partition(" ")
        run, heard = job(folder, SHAPES[shape](rows(sample, first=24)), device="cpu"), Recorded()
        trainer = load(name)
        with counted_recomputations() as count:
            result = trainer.train(run, trainer.Options(**dict(chosen)), heard)
        kept = sorted(path.name for path in (folder / "checkpoints").glob("*"))
        return Seen(result, heard.steps, kept, count())

    return lambda name, **chosen: once(name, tuple(sorted(chosen.items())))


@each_option
def test_an_option_changes_what_it_names(trainer: str, option: str, run: Callable[..., Seen]) -> None:
    beside = SHORT | (SAMPLED if DATASETS[trainer] == "grpo-demo" else {})
    if (trainer, option) in REFUSED_HERE:
        with pytest.raises(InvalidInput, match=option):
            run(trainer, **beside | {option: REFUSED_HERE[trainer, option]})
        return
    change = OWN.get((trainer, option)) or CHANGES[option]
    beside = beside | dict(change.beside)

    without, changed = run(trainer, **beside), run(trainer, **beside | {option: change.to})

    assert change.look(changed) != change.look(without)
