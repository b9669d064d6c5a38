"""The runs, one run, and what can be done with it."""

import shutil
import tempfile
from pathlib import Path
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from adapters.web.page import Form, Here, Page, PageRoute, status_of, text
from adapters.web.rendering import addressed
from adapters.web.run_view import RunView
from domain.audit.read_models import AuditQuery, Run, RunStanding
from domain.errors import InvalidRunRequest, RunNotFound, TrainingMethodError
from domain.runs.training_run import RunStatus
from domain.use_cases.audit import AuditPage
from domain.use_cases.methods import ListMethods
from domain.use_cases.results import AskRun, ExportRun, RunFile
from domain.use_cases.runs import ListRuns, RunsQuery, ShownRun, ShowRun
from domain.use_cases.trainings import CancelRun, RerunRun, ResumeRun

router = APIRouter(route_class=PageRoute)

_ENTRIES_SHOWN = 50
_A_PAGE = 50


@router.get("/runs")
def runs(page: Here, method: str = "", status: str = "", by: str = "", after: str = "") -> Response:
    """Runs, the newest first."""
    query = RunsQuery(
        method=method or None,
        status=RunStanding(status).status if status in list(RunStanding) else None,
        interrupted=status == RunStanding.INTERRUPTED,
        requested_by=by or None,
        after=run_id_of(after) if after else None,
        limit=_A_PAGE,
    )
    found = page.do(ListRuns(query=query))
    filters = {"method": method, "status": status, "by": by}
    return page.show(
        "runs.html",
        runs=[_row(page, run) for run in found.runs],
        filters=filters,
        after=after,
        older=found.next_after and addressed("/runs", filters | {"after": found.next_after}),
        newest=addressed("/runs", filters),
        statuses=list(RunStanding),
        methods=[method.spec for method in page.do(ListMethods())],
    )


def _row(page: Page, run: Run) -> RunView:
    """A run for the list; of one that runs, also how far it has come."""
    shown = ShownRun(run=run) if run.status is not RunStatus.RUNNING else None
    return RunView(shown or page.do(ShowRun(run_id=run.run_id, in_full=False)))


@router.get("/runs/{run}")
def run(page: Here, run: str) -> Response:
    """One run: how it goes, or went, and what came of it."""
    return _run_page(page, run_id_of(run))


def _run_page(page: Page, run_id: UUID, *, error: TrainingMethodError | None = None, **more: object) -> Response:
    view = RunView(page.do(ShowRun(run_id=run_id)))
    entries = page.do(AuditPage(query=AuditQuery(run=run_id, limit=_ENTRIES_SHOWN))).entries
    shown = {"asked": None, "typed": {}} | more
    return page.show(
        "run.html", status=status_of(error) if error else 200, view=view, entries=entries, error=error, **shown
    )


@router.post("/runs/{run}/cancel")
def cancel(page: Here, run: str, given: Form) -> Response:
    """Give it up."""
    why = text(given, "reason")
    reason = f"{page.person.name} cancelled it at the page" + (f": {why}" if why else ".")
    page.do(CancelRun(run_id=run_id_of(run), reason=reason))
    return page.go(f"/runs/{run}", said="Cancelled.")


@router.post("/runs/{run}/resume")
def resume(page: Here, run: str) -> Response:
    """Let it go on from its newest checkpoint."""
    page.do(ResumeRun(run_id=run_id_of(run)))
    return page.go(f"/runs/{run}", said="It goes on as soon as a worker is free.")


@router.post("/runs/{run}/rerun")
def rerun(page: Here, run: str) -> Response:
    """Repeat it."""
    started = page.do(RerunRun(run_id=run_id_of(run)))
    return page.go(f"/runs/{started.run_id}", said=" ".join((f"Requested: it repeats {run[:8]}.", *started.remarks)))


@router.post("/runs/{run}/ask")
def ask(page: Here, run: str, given: Form) -> Response:
    """Put questions to the base model and to the result, one a line."""
    run_id = run_id_of(run)
    questions = tuple(line.strip() for line in text(given, "questions").splitlines() if line.strip())
    typed = {"questions": text(given, "questions"), "temperature": text(given, "temperature") or "0"}
    try:
        if not questions:
            raise InvalidRunRequest("questions: is missing. Write one question a line.")
        temperature = _temperature(typed["temperature"])
        asked = page.do(AskRun(run_id=run_id, questions=questions, temperature=temperature))
    except TrainingMethodError as error:
        return _run_page(page, run_id, error=error, typed=typed)
    answers = list(zip(questions, asked.base, asked.result, strict=True))
    return _run_page(page, run_id, asked={"answers": answers, "warning": asked.warning}, typed=typed)


def _temperature(typed: str) -> float:
    try:
        temperature = float(typed)
    except ValueError:
        temperature = -1
    if not 0 <= temperature <= 2:
        raise InvalidRunRequest(f"temperature: must be a number from 0 to 2, not {typed[:40]!r}.")
    return temperature


@router.post("/runs/{run}/export")
def export(page: Here, run: str) -> Response:
    """The run's model as one archive with what other programs open."""
    folder = Path(tempfile.mkdtemp(prefix="tmm-export-"))
    try:
        page.do(ExportRun(run_id=run_id_of(run), out=folder / "model"))
        archive = shutil.make_archive(str(folder / "archive"), "tar", folder / "model")
        shutil.rmtree(folder / "model")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    away = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    return FileResponse(archive, media_type="application/x-tar", filename=f"{run[:8]}-model.tar", background=away)


@router.get("/runs/{run}/files/{path:path}")
def file(page: Here, run: str, path: str) -> Response:
    """A file of the run's artefact."""
    found = page.do(RunFile(run_id=run_id_of(run), path=path))
    return FileResponse(found, media_type="application/octet-stream", filename=found.name)


def run_id_of(run: str) -> UUID:
    """The id that an address names. Raises `RunNotFound`."""
    try:
        return UUID(run)
    except ValueError:
        raise RunNotFound(run) from None
