"""`tmm train --dry-run`: what a training would do and take, for people and for programs."""

from typing import Any

from adapters.cli.output import as_json, duration, facts, options_in_words, say, say_pieces, warn
from domain.runs.run_plan import Piece, RunPlan

_OPENS, _CLOSES = "⟦", "⟧"
_MOST_SHOWN = 4_000


def show_plan(plan: RunPlan, *, json_wanted: bool) -> None:
    """The plan on standard output; its warnings on standard error."""
    for warning in plan.warnings:
        warn(warning)
    if json_wanted:
        as_json(plan_document(plan))
        return
    request, estimate = plan.request, plan.estimate
    say(f"{request.method} would train {request.base_model} on {request.dataset}. Nothing was started.")
    say()
    facts(
        [
            ("rows", f"{plan.rows:,} to train on, {plan.held_out:,} held out; each has {plan.shape}"),
            ("columns", request.columns),
            ("steps", _steps(plan)),
            ("tokens", _tokens(plan)),
            ("trained", _trained(plan)),
            ("options", options_in_words(plan.options)),
            ("seed", request.seed),
            ("device", plan.device.description),
            ("memory", f"about {_size(estimate.memory)}; {_size(plan.memory_free)} are free"),
            ("time", _time(plan)),
            (
                "disk",
                f"about {_size(plan.disk_needed)} on the way and for the artefact; {_size(plan.disk_free)} are free",
            ),
        ]
    )
    _show_rows(plan)


def plan_document(plan: RunPlan) -> dict[str, Any]:
    """The plan as programs read it. Bytes, seconds and tokens; estimates are `null` where nothing can be said."""
    request = plan.request
    return {
        "method": request.method,
        "trainer": plan.trainer,
        "backend": request.backend.value,
        "device": plan.device.description,
        "base_model": request.base_model,
        "dataset": request.dataset,
        "columns": request.columns,
        "options": dict(plan.options),
        "seed": request.seed,
        "shape": plan.shape.value,
        "rows": plan.rows,
        "held_out_rows": plan.held_out,
        "steps": plan.steps,
        "rows_a_step": plan.rows_a_step,
        "tokens": {
            "examined_rows": plan.tokens.examined,
            "shortest": plan.tokens.shortest,
            "median": plan.tokens.median,
            "longest": plan.tokens.longest,
            "limit": plan.tokens.limit,
            "share_cut": plan.tokens.cut_share,
        },
        "shown": [
            {
                "row": row.name,
                "pieces": [{"text": piece.text, "learned": piece.learned} for piece in row.pieces],
            }
            for row in plan.shown
        ],
        "parameters": plan.parameters,
        "trained_parameters": plan.trained,
        "memory_bytes": round(plan.estimate.memory),
        "memory_free_bytes": plan.memory_free,
        "seconds": plan.estimate.seconds if plan.steps else None,
        "seconds_a_step": plan.estimate.seconds_a_step,
        "measured_runs": plan.estimate.runs,
        "disk_bytes": round(plan.disk_needed),
        "disk_free_bytes": plan.disk_free,
        "warnings": list(plan.warnings),
    }


def _show_rows(plan: RunPlan) -> None:
    """A row as the model will see it; what is learned stands between marks, and on a terminal in bold."""
    for row in plan.shown:
        learned = f"; what it learns stands in {_OPENS} {_CLOSES}" if any(piece.learned for piece in row.pieces) else ""
        say()
        say(f"As the model will see it ({row.name}{learned}):")
        say_pieces((_marked(piece), piece.learned) for piece in row.pieces)


def _marked(piece: Piece) -> str:
    text = piece.text
    if len(text) > _MOST_SHOWN:
        text = f"{text[: _MOST_SHOWN // 2]} […] {text[-_MOST_SHOWN // 2 :]}"
    return f"{_OPENS}{text}{_CLOSES}" if piece.learned else text


def _steps(plan: RunPlan) -> str:
    if plan.steps is None:
        return "as many as the method's own code takes"
    times = plan.steps * plan.rows_a_step / plan.rows
    often = f"each row about {times:.0f} times" if times >= 1.5 else f"about {min(times, 1):.0%} of the rows once"
    what = "prompts" if "num_generations" in plan.options else "rows"
    return f"{plan.steps:,} of {plan.rows_a_step:,} {what}: {often}"


def _tokens(plan: RunPlan) -> str:
    found = plan.tokens
    examined = "" if found.examined == plan.rows else f" in {found.examined:,} rows that were looked at"
    lengths = f"{found.shortest:,} to {found.longest:,} a row, {found.median:,} in the middle{examined}"
    if found.shortest == found.longest:
        lengths = f"{found.longest:,} a row{examined}"
    if found.limit is None:
        return lengths
    cut = "no row is cut" if not found.cut else f"{found.cut_share:.0%} of the rows are cut"
    return f"{lengths}; there is room for {found.limit:,}, so {cut}"


def _trained(plan: RunPlan) -> str:
    if plan.trained == plan.parameters:
        return f"all {plan.parameters:,} parameters"
    return f"{plan.trained:,} parameters beside the base model's {plan.parameters:,}"


def _time(plan: RunPlan) -> str:
    if plan.steps is None:
        return ""
    estimate = plan.estimate
    a_step = f"{estimate.seconds_a_step:.2g} s a step"
    if not estimate.runs:
        return f"very roughly {duration(estimate.seconds)} ({a_step}): nothing like it was measured on this machine yet"
    runs = "1 earlier run" if estimate.runs == 1 else f"{estimate.runs} earlier runs"
    return f"about {duration(estimate.seconds)} ({a_step}), by what {runs} took on this machine"


def _size(count: float) -> str:
    """Bytes for people, in powers of a thousand."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"
