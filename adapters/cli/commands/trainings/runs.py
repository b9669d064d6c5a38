"""`tmm runs` and `tmm cancel`: what became of trainings, and giving one up."""

import time
from contextlib import suppress
from uuid import UUID

import click

from adapters.cli.commands.trainings.comparing import compare
from adapters.cli.commands.trainings.one_run import show_details, show_run
from adapters.cli.context import Context
from adapters.cli.documents import run_document
from adapters.cli.output import as_json, moment, remark, say, table, warn
from adapters.cli.parameters import RUN_STANDING, json_option
from domain.audit.read_models import RunStanding
from domain.errors import RunNotFound, Unreachable
from domain.use_cases.runs import RUNS_AT_MOST, FindRun, ListRuns, RunsQuery, ShowRun, WhereRunStands
from domain.use_cases.trainings import CancelRun

CANCELLED_WITHIN = 60.0
"""Seconds. A worker stops its run in a few; of one that died, the service ends the run after half a minute."""
_LOOK_EVERY = 0.5


@click.group(invoke_without_command=True, short_help="List training runs, show one, or compare two.")
@click.option("--method", metavar="NAME", help="Only runs of this method.")
@click.option("--method-version", type=click.IntRange(min=1), help="Only runs of this version of their method.")
@click.option("--status", type=RUN_STANDING, help="Only runs that stand here.")
@click.option("--limit", type=click.IntRange(1, RUNS_AT_MOST), default=20, show_default=True, help="How many, at most.")
@json_option
@click.pass_context
def runs(
    ctx: click.Context,
    method: str | None,
    method_version: int | None,
    status: RunStanding | None,
    limit: int,
    json_wanted: bool,
) -> None:
    """List training runs, the newest first; show one of them, or compare two."""
    if ctx.invoked_subcommand is not None:
        return
    tmm: Context = ctx.obj
    query = RunsQuery(
        method=method,
        method_version=method_version,
        status=status and status.status,
        interrupted=status is RunStanding.INTERRUPTED,
        limit=limit,
    )
    found = tmm.do(ListRuns(query=query), by=tmm.user()).runs
    if json_wanted:
        as_json([run_document(run) for run in found])
    elif found:
        table(
            ("RUN", "STATUS", "METHOD", "REQUESTED (UTC)", "BY"),
            [(r.run_id, r.standing, r.request.method, moment(r.requested_at), r.requested_by) for r in found],
            clip=True,
        )
    else:
        remark(
            "No run fits."
            if method or method_version or status
            else "No training was requested yet. Begin with: tmm train sft-demo"
        )


@runs.command(short_help="Show one run: what was asked, what came of it.")
@click.argument("run", help="The run's id, or the beginning of it.")
@json_option
@click.pass_obj
def show(tmm: Context, run: str, json_wanted: bool) -> None:
    """Show one run: what was asked for, where it stands, and what came of it."""
    user = tmm.user()
    found = tmm.do(FindRun(named=run), by=user)
    if json_wanted:
        as_json(run_document(found))
    else:
        shown = tmm.do(ShowRun(run_id=found.run_id), by=user)
        show_run(found)
        show_details(found, shown.steps, shown.answers)


runs.add_command(compare)


@click.command(short_help="Cancel a training run.")
@click.argument("run", help="The run's id, or the beginning of it.")
@click.pass_obj
def cancel(tmm: Context, run: str) -> None:
    """Cancel a training run. One that waits never starts; one that runs is stopped by its worker."""
    user = tmm.user()
    found = tmm.do(FindRun(named=run), by=user)
    cancelled = tmm.do(CancelRun(run_id=found.run_id, reason=f"{user.name} cancelled it with tmm cancel."), by=user)
    if cancelled.remark:
        warn(cancelled.remark)
    if cancelled.stops:
        _wait_until_stopped(tmm, found.run_id)
    say(f"Cancelled {found.run_id}.")


def _wait_until_stopped(tmm: Context, run_id: UUID) -> None:
    user, deadline, told = tmm.user(), time.monotonic() + CANCELLED_WITHIN, False
    with suppress(RunNotFound):
        while not tmm.do(WhereRunStands(run_id=run_id), by=user).has_ended:
            if not told:
                remark("Waiting for the worker to stop …")
                told = True
            if time.monotonic() > deadline:
                raise Unreachable(
                    f"The run is cancelled. Its worker was asked to stop {run_id}, and has not said that it did. "
                    f"See: tmm runs show {run_id}"
                )
            time.sleep(_LOOK_EVERY)
