"""The form that starts a training, and the dry run's answer beside it."""

from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse
from starlette.datastructures import FormData

from adapters.shared.showing.plan_words import plan_in_words
from adapters.web.faults import Faults
from adapters.web.method_form import options_typed
from adapters.web.page import Form, Here, Page, PageRoute, status_of, text
from adapters.web.uploads import uploaded
from domain.catalogue.method_spec import MethodSpec
from domain.catalogue.options import options_after_defaults
from domain.errors import InvalidBaseModel, InvalidDataset, TrainingMethodError
from domain.runs.flow_runs import Queue
from domain.runs.training_run import RunRequest
from domain.use_cases.data import ListBaseModels, ListDatasets, UploadDataset
from domain.use_cases.methods import ShowMethod
from domain.use_cases.trainings import Backends, DryRun, StartTraining

router = APIRouter(route_class=PageRoute)

_IN_THE_FORM = ("options", "seed", "columns")
_FIELDS = ("backend", "base_model", "dataset", "seed", "output_name", "columns", "queue")


@router.get("/methods/{name}/train")
def train_form(page: Here, name: str) -> Response:
    """The method's options with their limits and defaults."""
    spec = page.do(ShowMethod(name=name)).spec
    suggested = page.do(Backends())
    backend = next((backend for backend in suggested if backend in spec.backends), spec.backends[0])
    typed: dict[str, Any] = {
        "backend": backend.value,
        "base_model": spec.default_base_model or "",
        "dataset": spec.default_dataset or "",
        "seed": "0",
        "queue": Queue.INTERACTIVE.value,
        "key": str(uuid4()),
    }
    typed |= {f"set.{option.name}": option.default for option in spec.configuration_options}
    return _form_page(page, spec, typed)


@router.post("/methods/{name}/train")
def train(page: Here, name: str, given: Form) -> Response:
    """Start; or look only, or keep an uploaded dataset first."""
    spec = page.do(ShowMethod(name=name)).spec
    typed: dict[str, Any] = {field: value for field, value in given.items() if isinstance(value, str)}
    try:
        if (file := uploaded(given, "file")) is not None:
            with file as path:
                kept = page.do(UploadDataset(name=text(given, "file_name") or file.name, file=path))
            typed["dataset"], typed["file_name"] = kept.name, ""
            if "start" not in given:
                return _form_page(page, spec, typed)
        request = _request(spec, given, dataset=typed.get("dataset", ""))
        if "start" not in given:
            return _form_page(page, spec, typed, plan=_planned(page, request))
        queue = Queue(text(given, "queue") or Queue.INTERACTIVE)
        key = text(given, "key") or str(uuid4())
        started = page.do(StartTraining(request=request, queue=queue, idempotency_key=key))
    except TrainingMethodError as error:
        return _form_page(page, spec, typed, error=error)
    return page.go(f"/runs/{started.run_id}", said=" ".join(("Requested.", *started.remarks)))


@router.post("/methods/{name}/train/plan")
def plan(page: Here, name: str, given: Form) -> Response:
    """The dry run's answer alone, for the script that asks while somebody types."""
    spec = page.do(ShowMethod(name=name)).spec
    try:
        shown = page.render("_plan.html", plan=_planned(page, _request(spec, given)), error=None)
    except TrainingMethodError as error:
        shown = page.render("_plan.html", plan=None, error=error)
    return HTMLResponse(shown)


def _request(spec: MethodSpec, form: FormData, *, dataset: str = "") -> RunRequest:
    options = options_typed(spec.configuration_options, form)
    options_after_defaults(spec.configuration_options, options)
    seed = text(form, "seed")
    fields = {name: text(form, name) for name in ("backend", "base_model", "output_name", "columns")}
    fields["dataset"] = dataset or text(form, "dataset")
    return RunRequest.parse(
        {"method": spec.internal_name, "options": options, "seed": int(seed) if seed.isdigit() else seed, **fields}
    )


def _planned(page: Page, request: RunRequest) -> dict[str, Any]:
    found = page.do(DryRun(request=request))
    facts = [(name, words) for name, words in plan_in_words(found) if words and name not in _IN_THE_FORM]
    return {"facts": facts, "warnings": found.warnings}


def _form_page(
    page: Page,
    spec: MethodSpec,
    typed: dict[str, Any],
    *,
    plan: dict[str, Any] | None = None,
    error: TrainingMethodError | None = None,
) -> Response:
    return page.show(
        "train.html",
        status=status_of(error) if error else 200,
        spec=spec,
        typed=typed,
        plan=plan,
        faults=_faults(error),
        base_models=page.do(ListBaseModels()),
        datasets=page.do(ListDatasets()),
        queues=list(Queue),
    )


def _faults(error: TrainingMethodError | None) -> Faults:
    """What is wrong, at its field; a dataset's and a base model's errors name no field, and belong to theirs."""
    if isinstance(error, InvalidDataset) and not str(error).startswith("columns: "):
        error = InvalidDataset(f"dataset: {error}")
    elif isinstance(error, InvalidBaseModel):
        error = InvalidBaseModel(f"base_model: {error}")
    return Faults(error, fields=_FIELDS)
