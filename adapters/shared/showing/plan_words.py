"""What a training would do and take, in words for people."""

from adapters.shared.showing.figures import duration, option_value, size_of
from domain.runs.run_plan import RunPlan


def plan_in_words(plan: RunPlan) -> list[tuple[str, str]]:
    """A name and a sentence for each thing that can be said of it; empty where nothing can."""
    request, estimate = plan.request, plan.estimate
    return [
        ("rows", f"{plan.rows:,} to train on, {plan.held_out:,} held out; each has {plan.shape}"),
        ("columns", request.columns),
        ("steps", _steps(plan)),
        ("tokens", _tokens(plan)),
        ("trained", _trained(plan)),
        ("options", ", ".join(f"{name}={option_value(value)}" for name, value in plan.options.items())),
        ("seed", str(request.seed)),
        ("device", plan.device.description),
        ("memory", f"about {size_of(estimate.memory)}; {size_of(plan.memory_free)} are free"),
        ("time", _time(plan)),
        (
            "disk",
            f"about {size_of(plan.disk_needed)} on the way and for the artefact; {size_of(plan.disk_free)} are free",
        ),
    ]


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
