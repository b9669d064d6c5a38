"""`tmm train --dry-run`: what a training would do and take, for people and for programs."""

from typing import Any

from adapters.cli.output import as_json, facts, say, say_pieces, warn
from adapters.shared.showing.plan_words import plan_in_words
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
    request = plan.request
    say(f"{request.method} would train {request.base_model} on {request.dataset}. Nothing was started.")
    say()
    facts(plan_in_words(plan))
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
