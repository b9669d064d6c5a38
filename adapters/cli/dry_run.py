"""`tmm train --dry-run`: what a training would do and take, for people and for programs."""

from typing import Any

from adapters.cli.output import as_json, facts, say, warn
from adapters.shared.plan_words import plan_in_words
from domain.run_plan import RunPlan


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
