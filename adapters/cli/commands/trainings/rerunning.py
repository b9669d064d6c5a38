"""`tmm rerun`: a run is repeated from the log, and it is said whether the repetition agrees with it."""

import click

from adapters.cli.commands.trainings.comparing import in_short
from adapters.cli.commands.trainings.following import follow
from adapters.cli.commands.trainings.one_run import show_run
from adapters.cli.commands.trainings.training import (
    must_have_completed,
    no_wait_option,
    queue_option,
    say_requested,
    tell_awaited,
)
from adapters.cli.context import Context
from adapters.cli.documents import agreement_document, run_document
from adapters.cli.output import as_json, heading, remark, say, warn
from adapters.cli.parameters import json_option
from domain.audit.read_models import Run
from domain.runs.comparison import Comparison
from domain.runs.flow_runs import Queue
from domain.runs.training_run import RunStatus
from domain.use_cases.results import CompareRuns
from domain.use_cases.runs import FindRun
from domain.use_cases.trainings import RerunRun, WhatChangedSince


@click.command(short_help="Repeat a run from the log, and say whether its curve agrees.")
@click.argument("run", help="The run's id, or the beginning of it.")
@queue_option
@no_wait_option
@json_option
@click.pass_obj
def rerun(tmm: Context, run: str, queue: Queue, no_wait: bool, json_wanted: bool) -> None:
    """Repeat a training as a new run: same method, base model, dataset, seed, and the options as they were then.

    What has changed since then is told before: the method, the base model's files, the dataset's rows, the training
    code, the packages. At the end you read whether the new run's curve and weights agree with the old ones.
    """
    user = tmm.user()
    then = tmm.do(FindRun(named=run), by=user)
    for change in tmm.do(WhatChangedSince(run_id=then.run_id), by=user):
        warn(f"Changed since: {change.name}, {in_short(change.one)} then, {in_short(change.other)} now.")
    started = tmm.do(RerunRun(run_id=then.run_id, queue=queue), by=user)
    run_id = started.run_id
    tell_awaited(started)
    if no_wait:
        say_requested(tmm, run_id, started.address, json_wanted=json_wanted)
        remark(f"Compare them at the end with: tmm runs compare {then.run_id} {run_id}")
        return
    remark(f"Run {run_id} repeats {then.run_id}: {started.address}")
    now = follow(tmm, run_id)
    (found,) = tmm.do(CompareRuns(runs=(then.run_id, run_id)), by=user).beside
    if json_wanted:
        as_json(run_document(now) | {"repeats": str(then.run_id), "agreement": agreement_document(found)})
    elif now.status is RunStatus.COMPLETED:
        show_run(now)
        _say_whether_it_agrees(then, found)
    must_have_completed(now)


def _say_whether_it_agrees(then: Run, found: Comparison) -> None:
    heading(f"Beside {then.run_id}")
    say(found.curves.words)
    if found.same_weights is not None:
        say("Both ended with the same weights." if found.same_weights else "They ended with different weights.")
    for difference in (*found.making, *found.options):
        say(f"{difference.name}: {in_short(difference.one)} then, {in_short(difference.other)} now.")
