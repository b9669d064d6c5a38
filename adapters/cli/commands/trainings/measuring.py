"""`tmm measure`: a run that completed unmeasured is measured on its held-out rows."""

import click

from adapters.cli.commands.trainings.one_run import show_run
from adapters.cli.context import Context
from adapters.cli.documents import run_document
from adapters.cli.output import as_json
from adapters.cli.parameters import json_option
from domain.use_cases.results import MeasureRun
from domain.use_cases.runs import FindRun


@click.command(short_help="Measure a completed run that was stored without being measured.")
@click.argument("run", help="The run's id, or the beginning of it.")
@json_option
@click.pass_obj
def measure(tmm: Context, run: str, json_wanted: bool) -> None:
    """Measure a run that completed unmeasured: its base model and its result, on the held-out rows, here and now.

    That is so where measuring failed, or was not wished (`tmm train --no-measure`). The trained weights were stored
    all the same, and stay as they are.

    \b
    tmm measure 1a2b
    """
    user = tmm.user()
    found = tmm.do(FindRun(named=run), by=user)
    measured = tmm.do(MeasureRun(run_id=found.run_id), by=user)
    if json_wanted:
        as_json(run_document(measured))
    else:
        show_run(measured)
