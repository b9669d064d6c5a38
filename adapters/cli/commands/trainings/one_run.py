"""One training run, shown to people."""

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.cli.output import (
    duration,
    facts,
    figure,
    heading,
    moment,
    options_in_words,
    say,
)
from adapters.cli.sparkline import sparkline
from adapters.shared.training.curve import TOLD
from domain.audit.read_models import Run
from domain.runs.training_run import RunStatus
from domain.secrets import shown_address

_CURVE_WIDTH = 40
_ANSWERS_SHOWN = 3


def show_run(run: Run) -> None:
    """A run for people."""
    say(f"{run.request.method}: {run.standing}", bold=True)
    facts(
        [
            ("run", run.run_id),
            ("name", run.request.output_name),
            ("reason", run.reason),
            ("requested", f"{moment(run.requested_at)} UTC by {run.requested_by}"),
            ("started", run.started_at and f"{moment(run.started_at)} UTC"),
            ("took", None if run.duration_s is None else duration(run.duration_s)),
            ("backend", run.request.backend + (f", on {run.provenance.device}" if run.provenance else "")),
            ("base model", run.request.base_model),
            ("dataset", run.request.dataset),
            ("columns", run.request.columns),
            ("options", options_in_words(run.options if run.options is not None else run.request.options)),
            ("seed", run.request.seed),
            ("method version", run.method_version),
            ("steps", run.steps),
            ("artefact", run.artifact and shown_address(run.artifact)),
        ]
    )
    if run.before and run.after:
        heading("Held-out rows, before → after")
        both = [name for name in run.after if name in run.before]
        facts([(name, f"{figure(name, run.before[name])} → {figure(name, run.after[name])}") for name in both])
    if run.measured is False:
        say(f"It was stored without being measured. Measure it with: tmm measure {run.run_id}")
    if run.metrics:
        heading("Last step")
        facts([(name, f"{value:.4g}") for name, value in run.metrics.items()])


def show_details(run: Run, steps: Sequence[Mapping[str, float]], answers: Sequence[Mapping[str, Any]]) -> None:
    """How a run went, what it was made of, and what it answered."""
    if curves := curve_lines(steps):
        heading("Curve")
        facts(curves)
    if run.provenance is not None:
        made_of = run.provenance
        heading("Made of")
        facts(
            [
                ("base model", f"sha256 {made_of.base_model_hash}"),
                ("dataset", f"sha256 {made_of.dataset_hash}"),
                ("held-out rows", f"sha256 {made_of.held_out_hash}"),
                ("training code", f"sha256 {made_of.code_hash}"),
                ("machine", f"{made_of.machine}, {made_of.device}"),
                ("packages", ", ".join(f"{name} {version}" for name, version in made_of.packages.items())),
                ("python", made_of.python),
                ("weights", run.weights_hash and f"sha256 {run.weights_hash}"),
                ("artefact", run.artifact_hash and f"sha256 {run.artifact_hash}"),
            ]
        )
    if answers:
        heading("Held-out prompts, answered before and after" + _how_many(answers))
    for answer in answers[:_ANSWERS_SHOWN]:
        say(answer["prompt"])
        told = [
            ("expected", answer["expected"]),
            ("before", _said(answer["before"])),
            ("after", _said(answer["after"])),
        ]
        facts(told, indent="  ")
    if commands := _what_can_be_done(run):
        heading("Next")
        facts(commands)


def _what_can_be_done(run: Run) -> list[tuple[str, str]]:
    if run.status is RunStatus.COMPLETED:
        return [
            (f'tmm ask {run.run_id} "…"', "put a question to the base model and to the result"),
            (f"tmm export {run.run_id} --out FOLDER", "a folder that transformers and mlx_lm open"),
            (f"tmm rerun {run.run_id}", "repeat it, and see whether the curve agrees"),
        ]
    if run.resumable:
        return [(f"tmm resume {run.run_id}", "let it go on from its newest checkpoint")]
    return []


def curve_lines(steps: Sequence[Mapping[str, float]]) -> list[tuple[str, str]]:
    """For each measure that tells how a training goes its name, and its curve with the first and the last value."""
    lines = []
    for name in TOLD:
        if values := [told[name] for told in steps if name in told]:
            lines.append((name, f"{sparkline(values, width=_CURVE_WIDTH)} {values[0]:.4g} → {values[-1]:.4g}".strip()))
    return lines


def _how_many(answers: Sequence[Mapping[str, Any]]) -> str:
    return f" (the first {_ANSWERS_SHOWN} of {len(answers)})" if len(answers) > _ANSWERS_SHOWN else ""


def _said(answer: Mapping[str, Any]) -> str:
    judged = {True: "right: ", False: "wrong: ", None: ""}[answer["right"]]
    return f"{judged}{answer['said']}"
