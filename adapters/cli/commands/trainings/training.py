"""`tmm train`: a run is requested, released, and followed to its end."""

from datetime import datetime
from uuid import UUID

import click

from adapters.cli.commands.methods.option_syntax import SET_HELP, values_given
from adapters.cli.commands.operating.pools import to_resume
from adapters.cli.commands.trainings.dry_run import show_plan
from adapters.cli.commands.trainings.following import follow
from adapters.cli.commands.trainings.one_run import show_run
from adapters.cli.context import Context
from adapters.cli.documents import run_document
from adapters.cli.errors import TrainingFailed
from adapters.cli.output import as_json, plain, remark, say
from adapters.cli.parameters import BACKEND, QUEUE, json_option
from domain.audit.read_models import Run
from domain.catalogue.method_spec import Backend, MethodSpec
from domain.catalogue.options import options_after_defaults
from domain.runs.flow_runs import Queue
from domain.runs.training_run import RunRequest, RunStatus
from domain.use_cases.methods import ShowMethod
from domain.use_cases.runs import FindRun, WhereRunStands
from domain.use_cases.trainings import Backends, DryRun, ResumeRun, Started, StartTraining

COLUMNS_HELP = "What the dataset's columns are called, such as prompt=question, completion=answer."

queue_option = click.option(
    "--queue",
    type=QUEUE,
    default=Queue.INTERACTIVE,
    show_default=True,
    help="Where to wait for a worker: interactive goes before batch.",
)
no_wait_option = click.option("--no-wait", is_flag=True, help="Print the run's id and return at once.")


@click.command(short_help="Train with a method and follow the run.")
@click.argument("name", help="The method's internal name.")
@click.option("--base-model", metavar="PATH_OR_ID", help="A local folder, a hub id, or a sample's name.")
@click.option("--dataset", metavar="PATH_OR_ID", help="A JSONL file, a folder, a hub id, or a sample's name.")
@click.option("--columns", default="", metavar="OURS=THEIRS,…", help=COLUMNS_HELP)
@click.option("--set", "settings", multiple=True, metavar="OPTION=VALUE", help=SET_HELP)
@click.option("--backend", type=BACKEND, help="Where to train; needed only if the method runs on both.")
@queue_option
@click.option("--seed", type=int, default=0, show_default=True, help="What every random choice follows from.")
@click.option("--output-name", default="", metavar="NAME", help="A name for the trained model, for people.")
@click.option("--no-measure", is_flag=True, help="Do not measure base model and result; later: tmm measure RUN.")
@click.option("--dry-run", is_flag=True, help="Check everything and say what would happen; start nothing.")
@no_wait_option
@json_option
@click.pass_obj
def train(
    tmm: Context,
    name: str,
    base_model: str | None,
    dataset: str | None,
    columns: str,
    settings: tuple[str, ...],
    backend: Backend | None,
    queue: Queue,
    seed: int,
    output_name: str,
    no_measure: bool,
    dry_run: bool,
    no_wait: bool,
    json_wanted: bool,
) -> None:
    """Train with a method and follow the run. Ctrl-C stops the following, not the training.

    Base model and dataset need not be given where the method names its own.

    \b
    tmm train sft-demo
    tmm train sft-demo --dataset answers.jsonl --set max_steps=50 --set learning_rate=5e-4
    tmm train sft-demo --dataset answers.jsonl --dry-run
    tmm train sft-demo --dataset faq.csv --columns "prompt=question, completion=reply"
    """
    user = tmm.user()
    spec = tmm.do(ShowMethod(name=name), by=user).spec
    options = values_given(settings, spec.configuration_options)
    fields = {
        "method": name,
        "backend": backend or _backend_of(spec, tmm),
        "base_model": base_model if base_model is not None else _default(spec, "base model", spec.default_base_model),
        "dataset": dataset if dataset is not None else _default(spec, "dataset", spec.default_dataset),
        "options": options,
        "seed": seed,
        "output_name": output_name,
        "columns": columns,
        "measure": not no_measure,
    }
    options_after_defaults(spec.configuration_options, options)
    request = RunRequest.parse(fields)
    if dry_run:
        show_plan(tmm.do(DryRun(request=request), by=user), json_wanted=json_wanted)
        return
    started = tmm.do(StartTraining(request=request, queue=queue), by=user)
    tell_awaited(started)
    _say_or_see(tmm, started.run_id, started.address, no_wait=no_wait, json_wanted=json_wanted)


@click.command(short_help="Let an interrupted run go on from its newest checkpoint.")
@click.argument("run", help="The run's id, or the beginning of it.")
@no_wait_option
@json_option
@click.pass_obj
def resume(tmm: Context, run: str, no_wait: bool, json_wanted: bool) -> None:
    """Let an interrupted run go on from its newest checkpoint, with the same id, options and seed.

    A run is interrupted when its process, its machine or its network went away. One that failed by itself stays failed.
    """
    user = tmm.user()
    found = tmm.do(ResumeRun(run_id=tmm.do(FindRun(named=run), by=user).run_id), by=user)
    address = tmm.do(WhereRunStands(run_id=found.run_id), by=user).address
    _say_or_see(tmm, found.run_id, address, no_wait=no_wait, json_wanted=json_wanted, ended_before=found.finished_at)


def tell_awaited(started: Started) -> None:
    """Say what the run waits for, beside a free worker, and what to do about it."""
    for awaited in started.awaited:
        if awaited.is_paused:
            remark(f"{awaited.words} Resume it with: {to_resume(awaited.backend, awaited.queue)}")
        else:
            remark(f"{awaited.words} Start one on each machine with: tmm worker --backend {awaited.backend}")


def _say_or_see(
    tmm: Context,
    run_id: UUID,
    address: str,
    *,
    no_wait: bool,
    json_wanted: bool,
    ended_before: datetime | None = None,
) -> None:
    if no_wait:
        say_requested(tmm, run_id, address, json_wanted=json_wanted)
        return
    remark(f"Run {run_id}: {address}")
    run = follow(tmm, run_id, ended_before=ended_before)
    if json_wanted:
        as_json(run_document(run))
    elif run.status is RunStatus.COMPLETED:
        show_run(run)
    must_have_completed(run)


def say_requested(tmm: Context, run_id: UUID, address: str, *, json_wanted: bool) -> None:
    """The answer of a command that does not wait for the run's end."""
    if json_wanted:
        as_json(run_document(tmm.do(FindRun(named=str(run_id)), by=tmm.user())))
    else:
        say(str(run_id))
        remark(f"Requested. See it with: tmm runs show {run_id}, or at {address}")


def must_have_completed(run: Run) -> None:
    """Raise `TrainingFailed` unless this ended run has completed."""
    if run.status is not RunStatus.COMPLETED:
        how = {"failed": "failed", "interrupted": "was interrupted"}.get(run.standing, "was cancelled")
        reason = f": {plain(run.reason)}" if run.reason else ""
        go_on = f"\nLet it go on from its newest checkpoint with: tmm resume {run.run_id}" if run.resumable else ""
        raise TrainingFailed(f"The training {run.run_id} {how}{reason}{go_on}")


def _backend_of(spec: MethodSpec, tmm: Context) -> Backend:
    """The method's only backend; of several, the first that this installation has."""
    here = tmm.do(Backends(), by=tmm.user())
    return next((backend for backend in here if backend in spec.backends), spec.backends[0])


def _default(spec: MethodSpec, what: str, value: str | None) -> str:
    if value is None:
        flag = "--" + what.replace(" ", "-")
        raise click.UsageError(f"{spec.internal_name} names no {what} of its own: give {flag} PATH_OR_ID.")
    return value
