"""`tmm demo`: everything from nothing to a trained model, in one terminal."""

import os
import shutil
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from adapters.cli.commands.trainings.following import follow_to_the_end
from adapters.cli.commands.trainings.training import must_have_completed
from adapters.cli.output import duration, facts, figure, heading, plain, remark, say, warn
from domain.audit.read_models import AuditQuery, Run, SelectableMethod
from domain.errors import MethodNotSelectable, PrefectUnavailable, RunAlreadyFinished, RunNotFound, TrainingMethodError
from domain.runs.training_run import RunRequest
from domain.secrets import shown_address
from domain.use_cases.trainings import StartTraining
from infra.serving.one_server import only_here, the_only_server
from infra.serving.page.place import how_to_open, known_page
from infra.serving.prefect_environment import how_to_sign_in
from infra.serving.supervisor import Supervisor, interrupts_raised, worker_process
from infra.trainings.evaluations import evaluations_of
from infra.upkeep.publishing import update_prefect
from infra.upkeep.reconciliation import Reconciler

if TYPE_CHECKING:
    from adapters.cli.context import Context
    from infra.wiring import Installation

_WORKER_DEADLINE_S = 60


def demonstrate(tmm: "Installation", method: str, *, keep: bool) -> None:
    """Train with a demo method on its sample data, through a Prefect server and a worker made for it, and show all.

    Whatever happens, everything that was started is stopped; with `keep` only once the person says so with Ctrl-C.
    """
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        del os.environ[name]  # a Prefect of the person's own is not to be touched
    began = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(interrupts_raised())
        stack.enter_context(only_here(tmm.settings))
        supervisor = stack.enter_context(Supervisor(tmm.settings, say=remark))
        remark(f"From nothing to a trained model; all of it stays in {tmm.settings.home}")
        api_url = supervisor.start_server()
        stack.enter_context(the_only_server(tmm.settings, api_url))
        installed = tmm.migrate()
        before = tmm.log.catch_up().position - len(installed)
        chosen = tmm.catalogue.method(method)
        request = _request(chosen)
        worker = supervisor.start_worker(request.backend, api_url, offline=True)
        supervisor.await_server(api_url)
        with the_only_server(tmm.settings, api_url):
            tmm.pools.ensure(tmm.settings.backends)
            warn(update_prefect(tmm))
            Reconciler(tmm).reconcile(alone=True)  # what an earlier demo that was killed may have left
            _await_worker(tmm, supervisor, request, worker)
            remark(f"Prefect is at {shown_address(api_url).removesuffix('/api')}")
            remark(how_to_sign_in(tmm.settings))
            run = _train(tmm, supervisor, request)
            must_have_completed(run)
            _show(tmm, chosen, run, since=before, took=time.monotonic() - began, api_url=api_url if keep else None)
            if keep:
                _keep(tmm, supervisor, api_url)


def _request(method: SelectableMethod) -> RunRequest:
    spec = method.spec
    if spec.default_base_model is None or spec.default_dataset is None:
        raise MethodNotSelectable(
            f"{spec.internal_name} names no base model and dataset of its own, so it is no demo. "
            f"Train with it: tmm train {spec.internal_name} --base-model PATH_OR_ID --dataset PATH_OR_ID"
        )
    return RunRequest(
        method=spec.internal_name,
        backend=spec.backends[0],
        base_model=spec.default_base_model,
        dataset=spec.default_dataset,
    )


def _await_worker(tmm: "Installation", supervisor: Supervisor, request: RunRequest, worker: str) -> None:
    deadline = time.monotonic() + _WORKER_DEADLINE_S
    while not tmm.flow_runs.has_worker(request.backend, worker):
        supervisor.must_all_run()
        if time.monotonic() > deadline:
            raise PrefectUnavailable(
                f"The worker did not come up; its log: {supervisor.log(worker_process(request.backend))}"
            )
        time.sleep(0.1)


def _train(tmm: "Installation", supervisor: Supervisor, request: RunRequest) -> Run:
    ways_in = cast("Context", tmm)
    started = ways_in.do(StartTraining(request=request), by=tmm.user())
    run_id = started.run_id
    remark(f"{request.method} trains {request.base_model} on {request.dataset}: {started.address}")
    try:
        return follow_to_the_end(ways_in, run_id, meanwhile=supervisor.must_all_run)
    except BaseException:
        with suppress(TrainingMethodError):
            tmm.flow_runs.cancel(run_id, "The demo ended before the training did.")
        supervisor.stop()
        with suppress(RunNotFound, RunAlreadyFinished):
            tmm.trainings.cancel(run_id, "The demo ended before the training did.", by=tmm.user())
        raise


def _show(
    tmm: "Installation", method: SelectableMethod, run: Run, *, since: int, took: float, api_url: str | None
) -> None:
    say()
    for name, value in (run.after or {}).items():
        if run.before and name in run.before:
            say(f"Held-out rows, {name}: {figure(name, run.before[name])} before, {figure(name, value)} after.")
    evaluations = evaluations_of(tmm.run_folder(run.run_id))
    if evaluations is not None:
        _show_answers(evaluations)
    heading("What there is now")
    facts(
        [
            ("trained model", run.artifact and shown_address(run.artifact)),
            ("run", run.run_id),
            ("trained on", run.provenance and run.provenance.device),
            ("training took", run.duration_s and duration(run.duration_s)),
            ("all took", duration(took)),
            ("Prefect UI", api_url and shown_address(api_url).removesuffix("/api")),
        ]
    )
    heading("What the audit log got")
    for entry in tmm.auditing.entries(AuditQuery(after=since)):
        say(f"{entry.position:>5}  {plain(entry.sentence)}")
    heading("Next")
    command = _tmm()
    facts(
        [
            (f"{command} list", "the methods that can be chosen"),
            (f"{command} up", "Prefect again, with workers: train in its UI, or with tmm train"),
            (f"{command} audit --run {run.run_id}", "who did what, when, under which licence"),
        ]
        if api_url is None
        else [
            (f"{command} list", "the methods that can be chosen"),
            (
                f"{command} train {method.spec.internal_name} --set max_steps=50",
                "another training, in another terminal",
            ),
            (f"{command} audit --run {run.run_id}", "who did what, when, under which licence"),
        ]
    )


def _show_answers(evaluations: dict[str, Any]) -> None:
    """Three held-out prompts with the answers before and after; first those that the training put right."""
    pairs = list(zip(evaluations["before"]["answers"], evaluations["after"]["answers"], strict=False))
    pairs.sort(key=lambda pair: (pair[0]["right"], not pair[1]["right"]))
    if pairs:
        heading("Three answers (first those that were wrong before)")
    for before, after in pairs[:3]:
        say(plain(f"{before['prompt']}  (expected: {before['expected']})"))
        facts([("before", _said(before)), ("after", _said(after))], indent="  ")


def _said(answer: dict[str, Any]) -> str:
    judged = {True: "right: ", False: "wrong: ", None: ""}[answer["right"]]
    return f"{judged}{answer['said']}"


def _keep(tmm: "Installation", supervisor: Supervisor, api_url: str) -> None:
    for backend in tmm.settings.backends:
        if not supervisor.has_worker(backend):
            supervisor.start_worker(backend, api_url)
    page_url = supervisor.start_page(api_url)
    remark()
    remark(how_to_open(tmm.settings, page_url))
    remark(f"Prefect and its workers stay at {shown_address(api_url).removesuffix('/api')} until you press Ctrl-C.")
    with known_page(tmm.settings, page_url), suppress(KeyboardInterrupt):
        supervisor.watch()


def _tmm() -> str:
    """How the person calls `tmm` here."""
    called = Path(sys.argv[0])
    if called.name != "tmm" or shutil.which("tmm"):
        return "tmm"
    return os.path.relpath(called)
