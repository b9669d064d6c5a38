"""How much memory and time a training takes: by counting, and by what earlier trainings on this machine took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from adapters.measuring_room import logits_measured
from adapters.preflight.base_models import BaseModelFacts
from adapters.preflight.room import Room
from domain.ports import Device
from domain.runs.run_plan import Counted, Estimate, Tokens

# Multiplications and additions a second that a training really gets, until one was measured.
_RATE_OF_A_CORE = 25e9
_RATE_OF_A_GPU = 30e12
_SECONDS_A_STEP_AT_LEAST = 0.02
_SECONDS_BESIDE_THE_STEPS = 15.0
_MEMORY_OF_THE_LIBRARIES = 900_000_000
_COUNTED_RUNS = 10
_ABOUT_THE_SAME_SIZE = 4


@dataclass(frozen=True)
class Work:
    """What one optimiser step computes. `rows_at_once` are those whose activations are kept at the same time."""

    tokens: float
    rows_at_once: int
    longest: int
    sampled: int
    trained: int


@dataclass(frozen=True)
class Measured:
    """A training that came to its end here: what was counted before it, and what it took.

    `parameters` are the base model's, where that was noted.
    """

    counted: Counted
    memory: float
    seconds_a_step: float
    seconds_beside: float
    parameters: int | None = None


def work_of(facts: BaseModelFacts, options: Mapping[str, Any], tokens: Tokens, *, rows: int, asks_only: bool) -> Work:
    """The work of a step with so many rows or answers, from the options and the rows' lengths."""
    sampled = int(options.get("max_completion_length", 0)) if asks_only else 0
    kept = min(tokens.longest, tokens.limit or tokens.longest)
    parts = max(int(options.get("gradient_accumulation_steps", 1)), rows // int(options.get("mini_batch_size", rows)))
    return Work(
        tokens=rows * (min(tokens.mean, kept) + sampled),
        rows_at_once=max(1, rows // parts),
        longest=kept + sampled,
        sampled=sampled,
        trained=trained_parameters(facts, options),
    )


def trained_parameters(facts: BaseModelFacts, options: Mapping[str, Any]) -> int:
    """How many numbers the optimiser moves: all, or about those of the adapter beside the model."""
    match options.get("adapter", "none"):
        case "none":
            return facts.parameters
        case "prompt":
            return int(options.get("virtual_tokens", 0)) * facts.hidden
        case "ia3":
            return 5 * facts.layers * facts.hidden  # a scale for each key and value, and for the wider inner layer
        case "dora":
            return _thin_matrices(facts, options) + sum(rows for rows, _ in facts.matrices)
        case _:
            return _thin_matrices(facts, options)


def _thin_matrices(facts: BaseModelFacts, options: Mapping[str, Any]) -> int:
    """LoRA's two matrices beside each of the model's."""
    return sum(int(options.get("lora_rank", 0)) * (rows + columns) for rows, columns in facts.matrices)


def measuring_memory(facts: BaseModelFacts, device: Device, *, longest: int, rows: int) -> float:
    """What measuring base model and result takes: the weights, and predictions over the vocabulary with two copies."""
    a_weight = 2.0 if device.name.startswith("cuda") else 4.0
    beside = 0 if device.name.startswith("cuda") else _MEMORY_OF_THE_LIBRARIES
    logits = logits_measured(facts.vocabulary, longest, rows=rows)
    return a_weight * facts.parameters + 12.0 * logits + beside


def counted(
    facts: BaseModelFacts,
    options: Mapping[str, Any],
    work: Work,
    device: Device,
    room: Room,
    *,
    measuring: float = 0.0,
) -> Counted:
    """Memory and time by counting numbers and operations.

    A training pass costs about 6 operations a parameter and token, 4 where the model's own weights stand still
    (Kaplan et al. 2020); a sampled token 2. A layer keeps about 17 numbers of the hidden size for each token
    (Korthikanti et al. 2022), or one with gradient checkpointing; the loss three of the vocabulary's size. Before and
    after it, `measuring` takes so many bytes.
    """
    whole = work.trained == facts.parameters
    passes = float(options.get("ppo_epochs", 1)) * (6 if whole else 4) + (2 if options.get("beta") else 0)
    operations = facts.parameters * work.tokens * passes
    if work.sampled:
        operations += 2 * facts.parameters * work.tokens
    at_least = _SECONDS_A_STEP_AT_LEAST + work.sampled * facts.layers * 3e-4
    kept_a_layer = 1 if options.get("gradient_checkpointing") else 17
    numbers_a_token = facts.layers * kept_a_layer * facts.hidden + 17 * facts.hidden + 3 * facts.vocabulary
    reference = facts.parameters if options.get("beta") and whole else 0
    beside = 0 if device.name.startswith("cuda") else _MEMORY_OF_THE_LIBRARIES
    # On the CPU each process has the model in the same memory; the rows they share.
    copies = 1 if device.name.startswith("cuda") else int(options.get("processes", 1))
    memory = (
        copies * certain_memory(facts, options, work, device)
        + 4 * (reference + work.rows_at_once * work.longest * numbers_a_token)
        + copies * beside
    )
    return Counted(memory=max(memory, measuring), seconds_a_step=at_least + operations / _rate(device, room))


def certain_memory(facts: BaseModelFacts, options: Mapping[str, Any], work: Work, device: Device) -> float:
    """What no training can do without: weights, and gradients and AdamW's two means of those that are trained.

    Torch keeps weights in 32 bits, or in four where that is chosen; MLX as the model's files have them.
    """
    if device.name == "mlx":
        each = {"float32": 4.0, "bfloat16": 2.0}.get(str(options.get("dtype")))
        weights = facts.weight_bytes if each is None or facts.quantised else each * facts.parameters
        return weights + 3 * work.trained * (each or weights / max(1, facts.parameters))
    weights = 0.55 * facts.parameters if options.get("quantization") == "4bit" else 4.0 * facts.parameters
    return weights + 12.0 * work.trained


def estimated(
    by_counting: Counted, *, steps: int, measured: Sequence[Measured], parameters: int | None = None
) -> Estimate:
    """The estimate, corrected by how far counting was off in the newest measured runs; these come first.

    Only models of about the same size teach anything: what a tiny one takes is mostly something else.
    """
    measured = [run for run in measured if _like(run.parameters, parameters)][:_COUNTED_RUNS]
    in_time = _correction([run.seconds_a_step / run.counted.seconds_a_step for run in measured])
    in_memory = _correction([run.memory / run.counted.memory for run in measured])
    beside = median([run.seconds_beside for run in measured]) if measured else _SECONDS_BESIDE_THE_STEPS
    a_step = by_counting.seconds_a_step * in_time
    return Estimate(
        memory=by_counting.memory * in_memory,
        seconds=beside + steps * a_step,
        seconds_a_step=a_step,
        runs=len(measured),
    )


def _like(one: int | None, other: int | None) -> bool:
    return one is None or other is None or max(one, other) <= _ABOUT_THE_SAME_SIZE * min(one, other)


def _correction(ratios: Sequence[float]) -> float:
    return median(ratios) if ratios else 1.0


def _rate(device: Device, room: Room) -> float:
    on_a_gpu = device.name.startswith("cuda") or (device.name == "mlx" and not device.description.startswith("CPU"))
    return _RATE_OF_A_GPU if on_a_gpu else _RATE_OF_A_CORE * room.cores
