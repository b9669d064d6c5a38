"""`tmm runs` and `tmm cancel`: what became of trainings, and giving one up."""

import time
from contextlib import suppress
from uuid import UUID

import click

from adapters.cli.commands.trainings.comparing import compare
from adapters.cli.commands.trainings.one_run import run_known, show_details, show_run
from adapters.cli.documents import run_document
from adapters.cli.installation import Installation
from adapters.cli.output import as_json, moment, remark, say, table, warn
from adapters.cli.parameters import RUN_STATUS, json_option
from domain.audit.read_models import Run
from domain.errors import RunAlreadyFinished, RunNotFound, Unreachable
from domain.people.users import User
from domain.runs.training_run import RunStatus

CANCELLED_WITHIN = 60.0
"""Seconds. A worker stops its run in a few; of one that died, the service ends the run after half a minute."""
_LOOK_EVERY = 0.5
_ENDED_IN_PREFECT = ("Completed", "Failed", "Crashed", "Cancelled")
_ALL = 10_000


@click.group(invoke_without_command=True, short_help="List training runs, show one, or compare two.")
@click.option("--method", metavar="NAME", help="Only runs of this method.")
@click.option("--method-version", type=click.IntRange(min=1), help="Only runs of this version of their method.")
@click.option("--status", type=RUN_STATUS, help="Only runs that stand here.")
@click.option("--limit", type=click.IntRange(1, _ALL), default=20, show_default=True, help="How many, at most.")
@json_option
@click.pass_context
def runs(
    ctx: click.Context,
    method: str | None,
    method_version: int | None,
    status: RunStatus | None,
    limit: int,
    json_wanted: bool,
) -> None:
    """List training runs, the newest first; show one of them, or compare two."""
    if ctx.invoked_subcommand is not None:
        return
    installation: Installation = ctx.obj
    found = installation.trainings.all(method=method, method_version=method_version, status=status, limit=limit)
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
def show(installation: Installation, run: str, json_wanted: bool) -> None:
    """Show one run: what was asked for, where it stands, and what came of it."""
    found = run_known(installation, run)
    if json_wanted:
        as_json(run_document(found))
    else:
        show_run(found)
        show_details(found, installation.steps_of(found), installation.answers_of(found))


runs.add_command(compare)


@click.command(short_help="Cancel a training run.")
@click.argument("run", help="The run's id, or the beginning of it.")
@click.pass_obj
def cancel(installation: Installation, run: str) -> None:
    """Cancel a training run. One that waits never starts; one that runs is stopped by its worker."""
    user = installation.user()
    found = run_known(installation, run)
    reason = f"{user.name} cancelled it with tmm cancel."
    if found.status is RunStatus.REQUESTED or _waits_to_go_on(installation, found):
        # The event store decides: once the cancellation is there, no worker can start the run any more.
        installation.trainings.cancel(found.run_id, reason, by=user)
        try:
            installation.flow_runs.cancel(found.run_id, reason)
        except RunNotFound:
            pass  # Prefect has forgotten it, and that is as good
        except Unreachable as error:
            warn(f"The run is cancelled, and Prefect still shows it as waiting. {error}")
    elif found.finished_at is None:
        _stop(installation, found.run_id, reason, by=user)
    else:
        raise RunAlreadyFinished(f"Training run {found.run_id} has {_ended(found.status)}; there is nothing to cancel.")
    say(f"Cancelled {found.run_id}.")


def _waits_to_go_on(installation: Installation, run: Run) -> bool:
    """Whether a run that was interrupted was resumed, and no worker has taken it yet."""
    try:
        return bool(run.interrupted) and installation.flow_runs.state(run.run_id) not in _ENDED_IN_PREFECT
    except RunNotFound:
        return False


def _stop(installation: Installation, run_id: UUID, reason: str, *, by: User) -> None:
    """Ask the worker to stop a run, record that this person cancelled it, and wait until the worker has stopped."""
    told = True
    try:
        installation.flow_runs.cancel(run_id, reason)
    except RunNotFound:
        told = False  # somebody deleted it in Prefect, so that no worker hears of it there
    # Here and now: what the worker tells of it later is Prefect's word, which names nobody.
    try:
        installation.trainings.cancel(run_id, reason, by=by)
    except RunAlreadyFinished:
        if (ended := installation.trainings.one(run_id).status) is not RunStatus.CANCELLED:
            raise RunAlreadyFinished(f"Training run {run_id} {_ended(ended)} before it could be cancelled.") from None
    if not told and not installation.end_process(run_id):
        remark("Prefect does not know it any more. If it goes on on another machine, it ends there within seconds.")
    patience = time.monotonic() + CANCELLED_WITHIN
    with suppress(RunNotFound):
        if installation.flow_runs.state(run_id) not in _ENDED_IN_PREFECT:
            remark("Waiting for the worker to stop …")
        while installation.flow_runs.state(run_id) not in _ENDED_IN_PREFECT:
            if time.monotonic() > patience:
                raise Unreachable(
                    f"The run is cancelled. Its worker was asked to stop {run_id}, and has not said that it did. "
                    f"See: tmm runs show {run_id}"
                )
            time.sleep(_LOOK_EVERY)


def _ended(status: RunStatus) -> str:
    return "been cancelled" if status is RunStatus.CANCELLED else status.value
