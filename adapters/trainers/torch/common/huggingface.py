"""What all trainers on transformers' `Trainer` have in common: opening, reporting, checkpoints and the end.

TRL's and transformers' own defaults are overridden here and nowhere else.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from adapters.shared.conversations import completed
from adapters.shared.opening import model_of, tokenizer_of
from adapters.shared.training.epochs import steps_to_take
from adapters.trainers.bad_results import WatchedProgress, must_have_changed, must_have_taken_steps
from adapters.trainers.common_options import LoraOptions
from adapters.trainers.whole_steps import MeanOver, with_whole_steps
from adapters.turn_ends import ends_of, keep_ends
from domain.errors import InvalidConfigurationOptions
from domain.training import Progress, TrainingJob, TrainingResult

# What transformers and trl log at a step and people follow; the rest is bookkeeping of theirs.
_REPORTED = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "mean_token_accuracy": "token_accuracy",
    "reward": "reward",
    "reward_std": "reward_std",
    "kl": "kl",
    "entropy": "entropy",
    "completions/mean_length": "completion_length",
    "completions/clipped_ratio": "cut_off",
    "rewards/accuracies": "preference_accuracy",
    "rewards/margins": "margin",
    "accuracy": "preference_accuracy",
    "margin": "margin",
    "log_odds_ratio": "log_odds_ratio",
}
_EACH_REWARD = re.compile(r"rewards/(\w+)/mean")


def open_model(job: TrainingJob, *, scores: bool = False, **loading: Any) -> tuple[Any, Any]:
    """The base model with 32-bit weights, and its tokenizer with all that trainings need.

    With `scores` it gives one score in place of tokens, through a last layer that the job's seed fills.
    """
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        set_seed,
    )

    set_seed(job.seed)
    tokenizer = completed(tokenizer_of(job.base_model))
    if scores:
        model = model_of(AutoModelForSequenceClassification, job.base_model, num_labels=1, dtype=torch.float32)
        model.config.pad_token_id = tokenizer.pad_token_id
    else:
        model = model_of(AutoModelForCausalLM, job.base_model, dtype=torch.float32, **loading)
        # Whoever samples stops there, and so does everybody who opens what is saved.
        _can_be_saved(model.generation_config)
        model.generation_config.eos_token_id = ends_of(tokenizer, model.generation_config.eos_token_id)
    return model, tokenizer


def _can_be_saved(generation: Any) -> None:
    """Settings for sampling without sampling, which models come with, are refused when the trained model is saved."""
    try:
        generation.validate(strict=True)
    except ValueError:
        generation.do_sample = True


def longest(model: Any, max_length: int) -> int:
    """How many tokens of a row are kept: no model learns from what lies beyond the positions that it knows."""
    return min(max_length, getattr(model.config, "max_position_embeddings", None) or max_length)


def steps_of(options: Any, rows: Sequence[Any]) -> int:
    """How many optimiser steps a training on these rows takes, by its options `max_steps` and `epochs`."""
    return steps_to_take(options.max_steps, options.epochs, rows=len(rows), batch_size=options.batch_size)


def arguments(job: TrainingJob, options: Any, *, steps: int, processes: int = 1) -> dict[str, Any]:
    """The arguments that every Trainer of transformers and trl takes, from the options that every trainer has.

    `processes` share the rows of a step; this is one of them.
    """
    if options.batch_size % options.gradient_accumulation_steps:
        raise InvalidConfigurationOptions(
            [
                f"option 'batch_size' ({options.batch_size}) must be a multiple of option "
                f"'gradient_accumulation_steps' ({options.gradient_accumulation_steps})"
            ]
        )
    schedule = options.lr_scheduler_type
    return {
        "output_dir": str(job.folder / "trainer"),
        "max_steps": steps,
        "per_device_train_batch_size": options.batch_size // options.gradient_accumulation_steps // processes,
        "gradient_accumulation_steps": options.gradient_accumulation_steps,
        "learning_rate": options.learning_rate,
        # Their `constant` ignores the warm-up.
        "lr_scheduler_type": "constant_with_warmup" if schedule == "constant" else schedule,
        "warmup_steps": options.warmup_steps,
        "weight_decay": options.weight_decay,
        "max_grad_norm": options.max_grad_norm,
        # Its old name, gradient_checkpointing, warns; trl's default for it is on.
        "activation_checkpointing": options.gradient_checkpointing,
        "bf16": _in_bfloat16(job, options),
        "use_cpu": job.device == "cpu",
        "seed": job.seed,
        "data_seed": job.seed,
        "save_strategy": "steps" if options.save_steps else "no",
        "save_steps": options.save_steps or 1,
        "logging_steps": 1,
        # The filter would log a step whose loss is not finite as one with the loss of the step before.
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": job.device != "cpu",
        "ddp_find_unused_parameters": False,  # all that are trained are used; looking for others costs time
    }


def run(
    trainer_class: type[Any],
    job: TrainingJob,
    progress: Progress,
    *,
    is_adapter: bool,
    mean_over: MeanOver | None = None,
    judge: Callable[[Sequence[Mapping[str, Any]]], None] = lambda _: None,
    **parts: Any,
) -> TrainingResult:
    """Train from the newest checkpoint, or from the beginning, and save what came of it with its tokenizer.

    `mean_over` says of what a step's loss is the mean, where its rows may fall into unequal parts.
    `judge` raises `BadResult` if what was logged at the steps, also before an interruption, cannot be believed.
    """
    from transformers import set_seed
    from transformers.trainer_callback import PrinterCallback

    set_seed(job.seed)
    # Several GPUs are for several processes: one alone would spread over all it sees, at the cost of the same result.
    parts["args"]._n_gpu = min(parts["args"].n_gpu, 1)
    if mean_over is not None:
        trainer_class = with_whole_steps(trainer_class, mean_over)
    trainer = _with_our_checkpoints(trainer_class, job)(**parts, callbacks=[_reporting(WatchedProgress(progress))])
    trainer.remove_callback(PrinterCallback)
    before = _fingerprint(trainer.model)
    newest = job.checkpoints.newest()
    trainer.train(resume_from_checkpoint=str(newest[1] / f"checkpoint-{newest[0]}") if newest else None)
    steps = trainer.state.global_step
    must_have_taken_steps(steps)
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    judge(logged)
    must_have_changed(before, _fingerprint(trainer.model))
    folder = job.folder / "trained"
    if trainer.is_world_process_zero():
        trainer.model.save_pretrained(folder)
        trainer.processing_class.save_pretrained(folder)
        if trainer.model.can_generate():
            keep_ends(folder, trainer.processing_class)
        with suppress(FileNotFoundError):
            (folder / "README.md").unlink()  # peft's empty model card
    return TrainingResult(folder=folder, is_adapter=is_adapter, steps=steps, metrics=_metrics(logged[-1]))


def adapter(options: Any, *, task: str = "CAUSAL_LM") -> Any:
    """What is trained in place of all weights, by the option that trainers have in common: nothing, or LoRA."""
    return lora(options, task_type=task) if options.adapter == "lora" else None


def lora(options: LoraOptions, *, task_type: str = "CAUSAL_LM", **kind: bool) -> Any:
    """A LoRA adapter, or another of its kind, on every linear layer but the last."""
    from peft import LoraConfig

    return LoraConfig(
        task_type=task_type,
        target_modules="all-linear",
        r=options.lora_rank,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        **kind,
    )


def _in_bfloat16(job: TrainingJob, options: Any) -> bool:
    if options.dtype == "auto":
        import torch

        return job.device == "cuda" and torch.cuda.is_bf16_supported()
    return bool(options.dtype == "bfloat16")


def _with_our_checkpoints(trainer_class: type[Any], job: TrainingJob) -> type[Any]:
    """The same trainer, except that its checkpoints are whole or not there, and only the newest few are kept."""

    class Checkpointed(trainer_class):  # type: ignore[misc]  # of a library without types
        _target: str | None = None

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            def write(folder: Path) -> None:
                self._target = str(folder)
                super(Checkpointed, self)._save_checkpoint(model, trial)

            job.checkpoints.save(self.state.global_step, write)
            self._target = None

        def _get_output_dir(self, trial: Any) -> str:
            return self._target or str(super()._get_output_dir(trial))

        def create_model_card(self, *_: Any, **__: Any) -> None:
            """The artefact gets a model card of ours."""

    return Checkpointed


def _reporting(progress: Progress) -> Any:
    from transformers import TrainerCallback

    class Reporting(TrainerCallback):  # type: ignore[misc]  # of a library without types
        def on_log(self, _: Any, state: Any, __: Any, logs: dict[str, float] | None = None, **___: Any) -> None:
            if logs and "loss" in logs:
                progress.step(state.global_step, state.max_steps, _metrics(logs))

    return Reporting()


def _metrics(logs: Mapping[str, Any]) -> dict[str, float]:
    metrics = {ours: float(logs[theirs]) for theirs, ours in _REPORTED.items() if theirs in logs}
    each = {name: match for name in logs if (match := _EACH_REWARD.fullmatch(name))}
    return metrics | {f"reward_{match[1]}": float(logs[name]) for name, match in each.items()}


def _fingerprint(model: Any) -> list[tuple[float, float]]:
    """Two sums over each tensor that is trained: cheap, and different as soon as a step was taken."""
    return [
        (weights.detach().double().sum().item(), weights.detach().double().abs().sum().item())
        for weights in model.parameters()
        if weights.requires_grad
    ]
