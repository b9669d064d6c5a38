"""`tmm rerun`: a run is repeated from the log, and it is said whether the repetition agrees with it."""

from collections.abc import Sequence

import click

from adapters.cli.comparing import in_short
from adapters.cli.documents import agreement_document, run_document
from adapters.cli.following import follow
from adapters.cli.installation import Installation
from adapters.cli.one_run import run_named, show_run
from adapters.cli.output import as_json, heading, option_value, remark, say, warn
from adapters.cli.parameters import json_option
from adapters.cli.training import must_have_completed, no_wait_option, queue_option, say_requested, start
from domain.carrying import Queue
from domain.comparing import Comparison, Difference, changed_since, compared
from domain.options import options_after_defaults
from domain.read_models import Run
from domain.training_run import RunRequest, RunStatus


@click.command(short_help="Repeat a run from the log, and say whether its curve agrees.")
@click.argument("run", help="The run's id, or the beginning of it.")
@queue_option
@no_wait_option
@json_option
@click.pass_obj
def rerun(installation: Installation, run: str, queue: Queue, no_wait: bool, json_wanted: bool) -> None:
    """Repeat a training as a new run: same method, base model, dataset, seed, and the options as they were then.

    What has changed since then is told before: the method, the base model's files, the dataset's rows, the training
    code, the packages. At the end you read whether the new run's curve and weights agree with the old ones.
    """
    then = run_named(installation.service, run)
    request = _as_it_was(installation, then)
    for change in _changed(installation, then, request):
        warn(f"Changed since: {change.name}, {in_short(change.one)} then, {in_short(change.other)} now.")
    run_id = start(installation, request, queue=queue)
    if no_wait:
        say_requested(installation, run_id, json_wanted=json_wanted)
        remark(f"Compare them at the end with: tmm runs compare {then.run_id} {run_id}")
        return
    remark(f"Run {run_id} repeats {then.run_id}: {installation.runs.address(run_id)}")
    now = follow(installation, run_id)
    found = compared(then, now, installation.steps_of(then), installation.steps_of(now))
    if json_wanted:
        as_json(run_document(now) | {"repeats": str(then.run_id), "agreement": agreement_document(found)})
    elif now.status is RunStatus.COMPLETED:
        show_run(now)
        _say_whether_it_agrees(then, found)
    must_have_completed(now)


def _as_it_was(installation: Installation, then: Run) -> RunRequest:
    """The request with the options as they were after defaults, as far as the method still offers them.

    Raises `InvalidConfigurationOptions` where a value of then is not allowed any more.
    """
    offered = installation.service.selectable_method(then.request.method).spec.configuration_options
    names = {option.name for option in offered}
    options = {name: value for name, value in (then.options or then.request.options).items() if name in names}
    options_after_defaults(offered, options)
    return then.request.model_copy(update={"options": options})


def _changed(installation: Installation, then: Run, request: RunRequest) -> Sequence[Difference]:
    """What is not as it was, as far as it can be seen here: another machine may carry the new run."""
    changes = []
    version = installation.service.selectable_method(request.method).version
    if then.method_version not in (None, version):
        changes.append(Difference(name=f"version of {request.method}", one=then.method_version, other=version))
    if then.options is not None:
        now = installation.service.options_of(request)
        changes += [
            Difference(name=f"option {name}, which {request.method} does not offer", one=value, other=now[name])
            for name, value in then.options.items()
            if name in now and option_value(now[name]) != option_value(value)
        ]
    if then.provenance is not None:
        made_of = installation.made_of(request)
        here = {"device": then.provenance.device, "machine": then.provenance.machine}
        changes += changed_since(then.provenance, made_of.model_copy(update=here))
    return changes


def _say_whether_it_agrees(then: Run, found: Comparison) -> None:
    heading(f"Beside {then.run_id}")
    say(found.curves.words)
    if found.same_weights is not None:
        say("Both ended with the same weights." if found.same_weights else "They ended with different weights.")
    for difference in (*found.making, *found.options):
        say(f"{difference.name}: {in_short(difference.one)} then, {in_short(difference.other)} now.")
