"""Each trainer beside the bare library doing the same work, in turn. Aims: 1.03 in time, 1.05 in peak memory."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.settings import CHECKOUT

pytestmark = [pytest.mark.training, pytest.mark.full]

ROUNDS = int(os.environ.get("TMM_BENCHMARK_ROUNDS", "3"))
STEPS, ROWS = 60, 640

BEGIN = f"""
import json, resource, sys, time
from pathlib import Path
def cost():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
SAMPLES, FOLDER = Path("infra/samples"), Path(sys.argv[1])
BASE = str(SAMPLES / "small-base")
def rows(dataset):
    from tests.adapters.trainers.shaped_rows import SHAPES
    sample, _, shape = dataset.partition(" ")
    lines = (SAMPLES / sample / "train.jsonl").read_text().splitlines()[:{ROWS}]
    return SHAPES[shape]([json.loads(line) for line in lines])
first, losses = [], []
"""
END = """
processor, megabytes = cost()
figures = {"processor": processor, "first step": first[0], "megabytes": megabytes, "last loss": losses[-1]}
print(json.dumps(figures))
"""
OURS = """
from adapters.trainers import load
from tests.adapters.trainers.running import job
class Progress:
    def step(self, step, total, metrics):
        first.append(cost()[0])
        losses.append(metrics["loss"])
trainer = load(NAME)
trainer.train(job(FOLDER, rows(SAMPLE), device="cpu"), trainer.Options(**OPTIONS, save_steps=0), Progress())
"""
BARE = """
import datasets, torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback, set_seed
datasets.disable_progress_bars()
class First(TrainerCallback):
    def on_log(self, *_, logs, **__):
        first.append(cost()[0])
        losses.extend([logs["loss"]] if "loss" in logs else [])
COMMON = dict(
    output_dir=str(FOLDER), max_steps=OPTIONS["max_steps"], per_device_train_batch_size=OPTIONS["batch_size"],
    learning_rate=3e-4, lr_scheduler_type="constant_with_warmup", logging_steps=1, save_strategy="no", report_to="none",
    use_cpu=True, bf16=False, activation_checkpointing=False, disable_tqdm=True, dataloader_pin_memory=False, seed=0,
)
set_seed(0)
model, tokenizer = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32), AutoTokenizer.from_pretrained(BASE)
"""
BARE_SFT = """
from trl import SFTConfig, SFTTrainer
trainer = SFTTrainer(
    model=model, processing_class=tokenizer, callbacks=[First()], args=SFTConfig(**COMMON, assistant_only_loss=True),
    train_dataset=datasets.Dataset.from_list(rows(SAMPLE)),
)
trainer.train()
trainer.save_model(str(FOLDER / "trained"))
"""
BARE_PEFT = BARE_SFT.replace(
    "trainer = SFTTrainer(",
    """from peft import LoraConfig
trainer = SFTTrainer(
    peft_config=LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", r=8, lora_alpha=16),""",
)
BARE_ON_ANSWERS = """
from IMPORTED import NAMEDConfig, NAMEDTrainer
trainer = NAMEDTrainer(
    model=model, processing_class=tokenizer, callbacks=[First()], args=NAMEDConfig(**COMMON, max_length=512),
    train_dataset=datasets.Dataset.from_list(rows(SAMPLE)),
)
trainer.train()
trainer.save_model(str(FOLDER / "trained"))
"""
SCORING = """
from transformers import AutoModelForSequenceClassification
model = AutoModelForSequenceClassification.from_pretrained(BASE, num_labels=1, dtype=torch.float32)
model.config.pad_token_id = tokenizer.pad_token_id
"""


def on_answers(named: str, imported: str = "trl") -> str:
    """A bare training on chosen and rejected, or on marked answers."""
    return BARE_ON_ANSWERS.replace("NAMED", named).replace("IMPORTED", imported)


BARE_GRPO = """
from trl import GRPOConfig, GRPOTrainer
from domain.runs.grading import is_right, reasons_before_it_answers
def exact_answer(completions, answer, **_):
    return [float(is_right(said[0]["content"], wanted)) for said, wanted in zip(completions, answer)]
def format(completions, **_):
    return [float(reasons_before_it_answers(said[0]["content"])) for said in completions]
trainer = GRPOTrainer(
    model=model, processing_class=tokenizer, callbacks=[First()], reward_funcs=[exact_answer, format],
    args=GRPOConfig(**COMMON, num_generations=8, max_completion_length=32, reward_weights=[1.0, 0.2]),
    train_dataset=datasets.Dataset.from_list(rows(SAMPLE)),
)
trainer.train()
trainer.save_model(str(FOLDER / "trained"))
"""
SHARED: dict[str, Any] = {"learning_rate": 3e-4, "lr_scheduler_type": "constant"}
PAIRS, MARKED = "sft-demo in pairs", "sft-demo marked"
SUPERVISED = {"max_steps": STEPS, "batch_size": 32}
ON_ANSWERS = {"max_steps": STEPS // 2, "batch_size": 16}
SAMPLED = {"max_steps": STEPS // 3, "batch_size": 64, "num_generations": 8, "max_completion_length": 32}
BARE_RLOO = BARE_GRPO.replace("GRPO", "RLOO").replace("num_generations", "beta=0.0, num_generations")
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "sft": ("sft-demo", BARE_SFT, SUPERVISED),
    "peft": ("sft-demo", BARE_PEFT, SUPERVISED),
    "dpo": (PAIRS, on_answers("DPO"), ON_ANSWERS),
    "kto": (MARKED, on_answers("KTO"), ON_ANSWERS),
    "orpo": (PAIRS, on_answers("ORPO", "trl.experimental.orpo"), ON_ANSWERS),
    "reward": (PAIRS, SCORING + on_answers("Reward"), ON_ANSWERS),
    "grpo": ("grpo-demo", BARE_GRPO, SAMPLED),
    "rloo": ("grpo-demo", BARE_RLOO, SAMPLED),
}


def measured(program: str, folder: Path) -> dict[str, float]:
    """Processor seconds of the whole process and up to its first optimiser step, and its peak memory."""
    environment = os.environ | {
        "PYTHONPATH": str(CHECKOUT),
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
        "TRL_EXPERIMENTAL_SILENCE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        env=environment,
        cwd=CHECKOUT,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


@pytest.mark.parametrize("trainer", CASES)
def test_a_trainer_costs_little_more_than_the_bare_library(trainer: str, tmp_path: Path) -> None:
    sample, bare, options = CASES[trainer]
    named = f"NAME, SAMPLE, OPTIONS = {trainer!r}, {sample!r}, {options | SHARED!r}\n"
    programs = {"ours": BEGIN + named + OURS + END, "bare": BEGIN + named + BARE + bare + END}
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
    for number in range(ROUNDS):
        for name, program in programs.items():
            figures[name].append(measured(program, tmp_path / f"{name}-{number}"))
    ratios: dict[str, float] = {}
    for what in ("processor", "first step", "megabytes"):
        ours, beside = ([run[what] for run in figures[name]] for name in ("ours", "bare"))
        ratios[what] = statistics.median(ours) / statistics.median(beside)
        print(
            f"{trainer} {what}: {ratios[what]:.3f} times the bare library "
            f"(ours {min(ours):.2f} to {max(ours):.2f}, bare {min(beside):.2f} to {max(beside):.2f})"
        )
    ours, beside = (figures[name][0]["last loss"] for name in programs)
    print(f"{trainer} loss of the last step: {ours:.6f}, and {beside:.6f} with the bare library")
    assert ratios["processor"] < 1.15
    assert ratios["megabytes"] < 1.1
