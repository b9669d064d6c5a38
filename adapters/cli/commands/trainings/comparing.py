"""`tmm runs compare`: what tells two trainings apart."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from adapters.cli.commands.trainings.one_run import curve_lines
from adapters.cli.context import Context
from adapters.cli.documents import comparison_document
from adapters.cli.output import as_json, duration, facts, figure, heading, option_value, remark, say, table
from adapters.cli.parameters import json_option
from adapters.shared.privacy import as_the_user_has_it
from domain.audit.read_models import Run
from domain.runs.comparison import Comparison, Difference
from domain.use_cases.results import CompareRuns
from domain.use_cases.runs import FindRun

_SHORT = 12


@click.command(short_help="Compare two runs: options, measures and curves.")
@click.argument("one", help="A run's id, or the beginning of it.")
@click.argument("other", help="Another run's id, or the beginning of it.")
@click.option("--svg", "picture", type=click.Path(path_type=Path), help="Write both curves into one picture here.")
@json_option
@click.pass_obj
def compare(tmm: Context, one: str, other: str, picture: Path | None, json_wanted: bool) -> None:
    """Compare two runs side by side: what they were made of, their options, what was measured, and how they went.

    Only what differs is shown of options and of what the runs were made of.

    \b
    tmm runs compare 1a2b 3c4d
    tmm runs compare 1a2b 3c4d --svg curves.svg
    """
    user = tmm.user()
    ids = tuple(tmm.do(FindRun(named=run), by=user).run_id for run in (one, other))
    beside = tmm.do(CompareRuns(runs=ids), by=user)
    (first, second), (found,) = (shown.run for shown in beside.runs), beside.beside
    steps = tuple(shown.steps for shown in beside.runs)
    if picture is not None:
        _write_picture(picture, first, second, *steps)
    if json_wanted:
        as_json(comparison_document(first, second, found))
    else:
        _show(first, second, found, *steps)


Steps = Sequence[Mapping[str, float]]


def _write_picture(file: Path, first: Run, second: Run, *steps: Steps) -> None:
    from adapters.shared.training.curve import curves_svg

    try:
        with as_the_user_has_it(file):
            file.write_text(curves_svg(dict(zip(_names(first, second), steps, strict=True))), encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {error.strerror}.") from None
    remark(f"Both curves are in {file}")


def _show(first: Run, second: Run, found: Comparison, *steps: Steps) -> None:
    head = ("", *_names(first, second))
    table(
        head,
        [
            ("method", first.request.method, second.request.method),
            ("status", first.standing, second.standing),
            ("steps", _or_dash(first.steps), _or_dash(second.steps)),
            ("took", _took(first), _took(second)),
        ],
    )
    heading("Made of")
    _differences(head, found.making, or_else="Both were made of the same.")
    heading("Options")
    _differences(head, found.options, or_else="Both had the same options.")
    if found.measures:
        heading("Held-out rows, before → after")
        table(head, [(m.name, _change(m.name, m.one), _change(m.name, m.other)) for m in found.measures])
    heading("Curves")
    for name, curve in zip(_names(first, second), map(curve_lines, steps), strict=True):
        facts([(f"{measure} {name}", line) for measure, line in curve])
    say(found.curves.words)
    if found.same_weights is not None:
        say("Both ended with the same weights." if found.same_weights else "They ended with different weights.")


def _took(run: Run) -> str:
    return "–" if run.duration_s is None else duration(run.duration_s)


def _or_dash(value: object) -> object:
    return "–" if value is None else value


def _names(first: Run, second: Run) -> tuple[str, str]:
    """The beginnings of both ids; a run beside itself is called by it, too."""
    one, other = (str(run.run_id)[:8] for run in (first, second))
    return one, other if one != other else f"{other} (2)"


def _differences(head: Sequence[str], differences: Sequence[Difference], *, or_else: str) -> None:
    if differences:
        table(head, [(d.name, in_short(d.one), in_short(d.other)) for d in differences])
    else:
        say(or_else)


def in_short(value: Any) -> str:
    """A value of either run; hashes by their beginning, which tells them apart as well."""
    if value is None:
        return "–"
    text = option_value(value)
    is_hash = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return f"{text[:_SHORT]}…" if is_hash else text


def _change(name: str, values: tuple[float | None, float | None]) -> str:
    return " → ".join("–" if value is None else figure(name, value) for value in values)
