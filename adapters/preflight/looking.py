"""The whole look at a training before it begins."""

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.preflight import batches, leaks, seeing, tokens
from adapters.preflight.base_models import BaseModelFacts, must_fit
from adapters.preflight.estimating import Measured, Work, certain_memory, counted, estimated, measuring_memory, work_of
from adapters.preflight.room import Room
from adapters.preflight.shapes import asks_only, must_take
from domain.catalogue.method_spec import MethodType
from domain.catalogue.trainer_declaration import TrainerDeclaration
from domain.errors import InvalidRunRequest
from domain.ports import Dataset, Device
from domain.runs.run_plan import Estimate, RunPlan, Shape, Tokens
from domain.runs.training_run import RunRequest
from domain.training import Row

_CHECKPOINTS_KEPT = 2


def must_be_possible(
    request: RunRequest,
    trainer: TrainerDeclaration,
    options: Mapping[str, Any],
    dataset: Dataset,
    facts: BaseModelFacts,
) -> Shape:
    """What can be seen without a tokenizer; the rows' shape. Raises the error that says what does not go together."""
    shape = must_take(trainer.name, trainer.method_types, dataset.rows, as_demonstrations=dataset.as_demonstrations)
    must_fit(
        facts,
        trainer=trainer.name,
        method_types=trainer.method_types,
        backend=request.backend,
        options=options,
    )
    if is_known(trainer):
        if shape is Shape.JUDGED:
            batches.must_tell_apart(options, dataset.rows)
        batches.must_add_up(options, rows=len(dataset.rows), asks_only=asks_only(trainer.method_types))
    return shape


def is_known(trainer: TrainerDeclaration) -> bool:
    """Whether it is known what the trainer does with rows and options; of a method's own code it is not."""
    return MethodType.OTHER not in trainer.method_types


def look_at(
    request: RunRequest,
    trainer: TrainerDeclaration,
    options: Mapping[str, Any],
    dataset: Dataset,
    facts: BaseModelFacts,
    *,
    device: Device,
    room: Room,
    measured: Sequence[Measured],
) -> RunPlan:
    """Look at a training from all sides. Raises the error that says why it cannot go well.

    `measured` are earlier trainings with this trainer on this device, the newest first.
    """
    shape = must_be_possible(request, trainer, options, dataset, facts)
    asking = asks_only(trainer.method_types) or shape in (Shape.QUESTIONS, Shape.PROMPTS)
    leaking = list(leaks.advice(dataset.rows, dataset.held_out))
    opened = tokens.opened(facts.name, facts.source)
    limit = tokens.limit_of(options, facts.positions, asks_only=asking) if is_known(trainer) else None
    found = tokens.count(
        opened.tokenizer, dataset.rows, shape, asks_only=asking, limit=limit, embedded=facts.vocabulary
    )
    rows_a_step = batches.rows_a_step(options, found, asks_only=asking)
    work = work_of(facts, options, found, rows=rows_a_step, asks_only=asking)
    measuring = 0.0
    if request.measure is not False:
        measuring = measuring_memory(facts, device, longest=work.longest, rows=len(dataset.held_out))
    by_counting = counted(facts, options, work, device, room, measuring=measuring)
    steps = batches.steps_of(options, rows=len(dataset.rows), rows_a_step=rows_a_step)
    estimate = estimated(by_counting, steps=steps or 0, measured=measured, parameters=facts.parameters)
    disk = _disk_needed(work, options, steps)
    _must_have_room(facts, certain_memory(facts, options, work, device), disk, room)
    seen_a_step = batches.prompts_a_step(options) if asking else rows_a_step
    return RunPlan(
        request=request,
        trainer=trainer.name,
        options=options,
        device=device,
        shape=shape,
        rows=len(dataset.rows),
        held_out=len(dataset.held_out),
        steps=steps,
        rows_a_step=seen_a_step,
        tokens=found,
        shown=seeing.shown(opened.tokenizer, dataset.rows[0], shape, asks_only=asking, limit=limit)
        if is_known(trainer)
        else (),
        parameters=facts.parameters,
        trained=work.trained,
        counted=by_counting,
        estimate=estimate,
        memory_free=room.memory_free,
        disk_needed=disk,
        disk_free=room.disk_free,
        warnings=(
            *dataset.remarks,
            *(seeing.unused(opened.tokenizer, dataset.rows, shape, asks_only=asking) if is_known(trainer) else ()),
            *(seeing.control_tokens_said(opened.tokenizer, dataset.rows, shape) if is_known(trainer) else ()),
            *leaking,
            *_about_tokens(opened, found, dataset.rows, len(dataset.rows)),
            *batches.advice(options, steps, rows_seen=(steps or 0) * seen_a_step, rows=len(dataset.rows)),
            *_about_memory(estimate, room),
        ),
    )


def _about_tokens(opened: tokens.TokenizerFacts, found: Tokens, rows: Sequence[Row], how_many: int) -> tuple[str, ...]:
    said = []
    if found.cut:
        cut = f"{found.cut}" if found.examined == how_many else f"About {found.cut_share * how_many:.0f}"
        said.append(
            f"{cut} of {how_many} rows are longer than the {found.limit} tokens that are kept (the longest has "
            f"{found.longest}), and lose their end."
        )
    if not opened.has_template and _holds_messages(rows[0]):
        said.append(
            "The base model has no chat template: conversations are written as «User: …» and «Assistant: …», here and "
            "in the result."
        )
    return tuple(said)


def _holds_messages(row: Row) -> bool:
    return any(isinstance(value, list) for value in row.values())


def _about_memory(estimate: Estimate, room: Room) -> tuple[str, ...]:
    if estimate.memory <= room.memory_free:
        return ()
    return (
        f"It would need about {_bytes(estimate.memory)} of memory, and {_bytes(room.memory_free)} are free. "
        "If it fails: raise gradient_accumulation_steps, turn on gradient_checkpointing, or lower batch_size.",
    )


def _disk_needed(work: Work, options: Mapping[str, Any], steps: int | None) -> float:
    """The artefact, in the run's folder and in the store; checkpoints with AdamW's means, and the one being written."""
    every = options.get("save_steps") or 0
    kept = min(_CHECKPOINTS_KEPT + 1, steps // every if steps else 0) if every else 0
    return 4.0 * work.trained * (2 + 3 * kept)


def _must_have_room(facts: BaseModelFacts, certain: float, disk: float, room: Room) -> None:
    if certain > room.memory_total:
        raise InvalidRunRequest(
            f"Weights, gradients and AdamW's means of {facts.name} alone take {_bytes(certain)}, and this device "
            f"has {_bytes(room.memory_total)}. Train an adapter (--set adapter=lora), or a smaller model."
        )
    if disk > room.disk_free:
        raise InvalidRunRequest(
            f"Checkpoints and artefact take {_bytes(disk)}, and {_bytes(room.disk_free)} are free on the disk "
            "of the data folder. Make room, set TMM_HOME to a larger disk, or train an adapter (--set adapter=lora)."
        )


def _bytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
