"""`tmm train`: a run is requested, released, and followed to its end."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from uuid import UUID, uuid4

import click

from adapters.cli.commands.methods.option_syntax import SET_HELP, values_given
from adapters.cli.commands.operating.pools import named, to_resume
from adapters.cli.commands.trainings.dry_run import show_plan
from adapters.cli.commands.trainings.following import follow
from adapters.cli.commands.trainings.one_run import run_named, show_run
from adapters.cli.documents import run_document
from adapters.cli.errors import TrainingFailed
from adapters.cli.installation import Installation
from adapters.cli.output import as_json, plain, remark, say
from adapters.cli.parameters import BACKEND, QUEUE, json_option
from domain.audit.read_models import Run
from domain.catalogue.method_spec import Backend, MethodSpec
from domain.catalogue.options import options_after_defaults
from domain.errors import MethodNotSelectable, RunAlreadyFinished, TrainingMethodError
from domain.runs.flow_runs import Queue
from domain.runs.training_run import RunRequest, RunStatus

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
    installation: Installation,
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
    spec = installation.catalogue.method(name).spec
    options = values_given(settings, spec.configuration_options)
    fields = {
        "method": name,
        "backend": backend or _backend_of(spec, installation),
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
    must_run_on(request.backend, spec)
    if dry_run:
        show_plan(installation.plan(installation.checked(request)), json_wanted=json_wanted)
    else:
        _train(installation, request, queue=queue, no_wait=no_wait, json_wanted=json_wanted)


@click.command(short_help="Let an interrupted run go on from its newest checkpoint.")
@click.argument("run", help="The run's id, or the beginning of it.")
@no_wait_option
@json_option
@click.pass_obj
def resume(installation: Installation, run: str, no_wait: bool, json_wanted: bool) -> None:
    """Let an interrupted run go on from its newest checkpoint, with the same id, options and seed.

    A run is interrupted when its process, its machine or its network went away. One that failed by itself stays failed.
    """
    found = run_named(installation.trainings, run)
    if found.finished_at is None:
        raise RunAlreadyFinished(f"Training run {found.run_id} is {found.status}; there is nothing to resume.")
    if not found.resumable:
        raise RunAlreadyFinished(
            f"Training run {found.run_id} was not interrupted on its way. "
            f"Repeat it as a new run with: tmm rerun {found.run_id}"
        )
    installation.flow_runs.take_again(found.run_id)
    if no_wait:
        say_requested(installation, found.run_id, json_wanted=json_wanted)
        return
    _see_to_the_end(installation, found.run_id, json_wanted=json_wanted, ended_before=found.finished_at)


def _train(installation: Installation, request: RunRequest, *, queue: Queue, no_wait: bool, json_wanted: bool) -> None:
    run_id = start(installation, request, queue=queue)
    for what in awaited(installation, request, queue):
        remark(what)
    if no_wait:
        say_requested(installation, run_id, json_wanted=json_wanted)
        return
    _see_to_the_end(installation, run_id, json_wanted=json_wanted)


def awaited(installation: Installation, request: RunRequest, queue: Queue) -> Iterator[str]:
    """What the run waits for, beside a free worker; in words for the person who asked for it."""
    pools, backend = installation.pools, request.backend
    for name in (None, queue.value):
        if pools.is_paused(backend, name):
            yield f"{named(backend, name)} is paused: the run waits until {to_resume(backend, name)}"
    machines = int(installation.trainings.options_of(request).get("machines", 1))
    workers = sum(pool.workers for pool in pools.all() if pool.name == backend) if machines > 1 else 1
    if workers < machines:
        there = "is 1 worker" if workers == 1 else f"are {workers} workers"
        yield (
            f"It is to be shared by {machines} machines, and there {there} of {backend} now. "
            f"Start one on each machine with: tmm worker --backend {backend}"
        )


def _see_to_the_end(
    installation: Installation, run_id: UUID, *, json_wanted: bool, ended_before: datetime | None = None
) -> None:
    remark(f"Run {run_id}: {installation.flow_runs.address(run_id)}")
    run = follow(installation, run_id, ended_before=ended_before)
    if json_wanted:
        as_json(run_document(run))
    elif run.status is RunStatus.COMPLETED:
        show_run(run)
    must_have_completed(run)


def say_requested(installation: Installation, run_id: UUID, *, json_wanted: bool) -> None:
    """The answer of a command that does not wait for the run's end."""
    if json_wanted:
        as_json(run_document(installation.trainings.one(run_id)))
    else:
        say(str(run_id))
        remark(f"Requested. See it with: tmm runs show {run_id}, or at {installation.flow_runs.address(run_id)}")


def start(installation: Installation, request: RunRequest, *, queue: Queue = Queue.INTERACTIVE) -> UUID:
    """Request a run and let a worker take it; its id. Who asked is recorded before any worker can start it.

    All that can be seen to be wrong is refused before anything is created, and nothing half-made is left behind.
    """
    user = installation.user()
    must_run_on(request.backend, installation.catalogue.method(request.method).spec)
    request = installation.checked(request)
    runs = installation.flow_runs
    run_id = runs.create(request, queue=queue, idempotency_key=str(uuid4()))
    requested = False
    try:
        installation.trainings.request(run_id, request, by=user)
        requested = True
        runs.release(run_id)
    except BaseException as error:
        reason = f"The run was not released: {error or type(error).__name__}"
        with suppress(TrainingMethodError):
            runs.cancel(run_id, reason)
        if requested:
            installation.trainings.cancel(run_id, reason, by=user)
        raise
    return run_id


def must_have_completed(run: Run) -> None:
    """Raise `TrainingFailed` unless this ended run has completed."""
    if run.status is not RunStatus.COMPLETED:
        how = {"failed": "failed", "interrupted": "was interrupted"}.get(run.standing, "was cancelled")
        reason = f": {plain(run.reason)}" if run.reason else ""
        go_on = f"\nLet it go on from its newest checkpoint with: tmm resume {run.run_id}" if run.resumable else ""
        raise TrainingFailed(f"The training {run.run_id} {how}{reason}{go_on}")


def _backend_of(spec: MethodSpec, installation: Installation) -> Backend:
    """The method's only backend; of several, the first that this installation has."""
    return next((b for b in spec.backends if b in installation.settings.backends), spec.backends[0])


def must_run_on(backend: Backend, spec: MethodSpec) -> None:
    # The service says so too, but only after a flow run was made.
    if backend not in spec.backends:
        raise MethodNotSelectable(
            f"The training method {spec.internal_name!r} does not run on {backend}; "
            f"it runs on {', '.join(spec.backends)}."
        )


def _default(spec: MethodSpec, what: str, value: str | None) -> str:
    if value is None:
        flag = "--" + what.replace(" ", "-")
        raise click.UsageError(f"{spec.internal_name} names no {what} of its own: give {flag} PATH_OR_ID.")
    return value
