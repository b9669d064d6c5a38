"""Reinforcement with a reward function of your own: TRL's GRPO finds out what earns the most."""

import re
import shutil
from pathlib import Path

from pydantic import BaseModel, Field

from domain.training import BadResult, Progress, TrainingJob, TrainingResult, changes


class Options(BaseModel):
    max_steps: int = Field(
        60, ge=1, le=100_000, description="Optimiser steps to take", json_schema_extra=changes("steps")
    )
    batch_size: int = Field(64, ge=2, le=4096, description="Answers in one step", json_schema_extra=changes("weights"))
    num_generations: int = Field(
        8, ge=2, le=64, description="Answers to one prompt", json_schema_extra=changes("weights", tried=4)
    )
    max_completion_length: int = Field(
        32, ge=1, le=4096, description="Longest answer in tokens", json_schema_extra=changes("weights", tried=20)
    )
    learning_rate: float = Field(
        1e-4, ge=1e-8, le=1e-1, description="AdamW step size", json_schema_extra=changes("weights")
    )
    save_steps: int = Field(
        30, ge=1, le=100_000, description="Steps between checkpoints", json_schema_extra=changes("checkpoints")
    )


def reward(completions, answer, **_):
    """One for the right answer, and a little for reasoning before it. This is the function to make your own."""
    return [
        float(said_answer(said) == right)
        + 0.2 * bool(re.fullmatch(r"(?s)<think>.+</think>\s*<answer>.+</answer>", said))
        for said, right in zip((completion[0]["content"].strip() for completion in completions), answer, strict=True)
    ]


def said_answer(text):
    found = re.search(r"<answer>(.*?)</answer>", text, re.DOTALL)
    return found[1].strip() if found else None


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    from datasets import Dataset
    from transformers import AutoTokenizer, PrinterCallback, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    metrics, spread = {}, []

    class Reporting(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):
            if logs and "reward" in logs:
                metrics.update(reward=float(logs["reward"]), loss=float(logs["loss"]))
                spread.append(float(logs["reward_std"]))
                progress.step(state.global_step, options.max_steps, metrics)

        def on_save(self, args, state, control, **_):
            saved = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            job.checkpoints.save(state.global_step, lambda folder: shutil.copytree(saved, folder, dirs_exist_ok=True))

    config = GRPOConfig(
        output_dir=str(job.folder / "trainer"),
        max_steps=options.max_steps,
        per_device_train_batch_size=options.batch_size,
        num_generations=options.num_generations,
        max_completion_length=options.max_completion_length,
        learning_rate=options.learning_rate,
        warmup_steps=3,
        beta=0.0,
        seed=job.seed,
        logging_steps=1,
        save_steps=options.save_steps,
        save_total_limit=1,
        use_cpu=job.device == "cpu",
        bf16=False,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = GRPOTrainer(
        model=job.base_model,
        reward_funcs=reward,
        args=config,
        train_dataset=Dataset.from_list([dict(row) for row in job.rows]),
        processing_class=AutoTokenizer.from_pretrained(job.base_model, padding_side="left", trust_remote_code=False),
        callbacks=[Reporting()],
    )
    trainer.remove_callback(PrinterCallback)
    newest = job.checkpoints.newest()
    trainer.train(resume_from_checkpoint=str(newest[1]) if newest else None)
    if not any(spread):
        raise BadResult("The reward was the same for every answer, so there was nothing to learn from.")
    trained = job.folder / "trained"
    trainer.model.save_pretrained(trained)
    trainer.processing_class.save_pretrained(trained)
    return TrainingResult(trained, is_adapter=False, steps=trainer.state.global_step, metrics=metrics)
