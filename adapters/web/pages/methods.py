"""The Training Methods page: list, add, look, modify, delete."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Response

from adapters.web.faults import Faults
from adapters.web.method_form import FIELDS, MethodForm
from adapters.web.page import Form, Here, Page, PageRoute, status_of, text
from domain.catalogue.method_spec import Backend, MethodSpec, MethodType
from domain.catalogue.options import ConfigurationOption
from domain.catalogue.trainer_declaration import TrainerDeclaration
from domain.catalogue.training_method import SHAPEABLE_IN_TEMPLATES, TEMPLATES
from domain.errors import NotFound, TrainingMethodError
from domain.use_cases.data import ListBaseModels, ListDatasets
from domain.use_cases.methods import (
    AddMethod,
    DeleteMethod,
    DeletionImpact,
    Listed,
    ListMethods,
    MayI,
    MethodHistory,
    MethodsAtAGlance,
    ModifyMethod,
    OfferedTrainers,
    ShowMethod,
)
from domain.use_cases.runs import ListRuns, RunsQuery

router = APIRouter(route_class=PageRoute)

_RUNS_SHOWN = 10
_A_NAME_NOBODY_HAS = "a-method-to-come"


@router.get("/")
def methods(page: Here, type: str = "", backend: str = "", words: str = "") -> Response:
    """The selectable list, filtered."""
    all_of_them = page.do(MethodsAtAGlance())
    return page.show(
        "methods.html",
        listed=[one for one in all_of_them if _fits(one, type, backend, words)],
        in_all=len(all_of_them),
        types=[kind for kind in MethodType if any(one.method.spec.method_type is kind for one in all_of_them)],
        backends=list(Backend),
        type=type,
        backend=backend,
        words=words,
        refused=_refused(page, "add", _A_NAME_NOBODY_HAS),
    )


def _fits(one: Listed, type_: str, backend: str, words: str) -> bool:
    spec = one.method.spec
    said = f"{spec.internal_name} {spec.display_name} {spec.description} {spec.trainer} {spec.method_type}".lower()
    return (
        (not type_ or spec.method_type == type_)
        and (not backend or backend in spec.backends)
        and all(word in said for word in words.lower().split())
    )


def _refused(page: Page, action: Any, name: str) -> TrainingMethodError | None:
    """Why this person may not do this to the method; None where they may."""
    return page.do(MayI(action=action, name=name)).error


@router.get("/add")
def add_form(page: Here, start_from: str = "", trainer: str = "") -> Response:
    """The empty form, or one that starts from a method or with a trainer."""
    trainers = page.do(OfferedTrainers())
    if start_from:
        spec = page.do(ShowMethod(name=start_from)).spec
        form = MethodForm.of_method(spec, _declared(spec, trainers))
        form.fields["internal_name"], form.start_from = "", start_from
    else:
        form = MethodForm.new(_trainer(trainers, trainer) or trainers[0])
    return _add_page(page, form, trainers)


@router.post("/add")
def add(page: Here, given: Form) -> Response:
    """Add the method; or, where only another trainer was chosen, the form with that one's options."""
    trainers = page.do(OfferedTrainers())
    declared = _declared_for(page, text(given, "trainer"), text(given, "start_from"), trainers)
    form = MethodForm.typed(given, declared)
    if "look" in given:
        return _add_page(page, form, trainers)
    try:
        changed = page.do(AddMethod(fields=form.given(), start_from=form.code_from))
    except TrainingMethodError as error:
        return _add_page(page, form, trainers, error)
    spec = changed.method.spec
    return page.go(f"/methods/{spec.internal_name}", said=_sentence(f"Added {spec.display_name}.", changed.remark))


def _add_page(
    page: Page, form: MethodForm, trainers: Sequence[TrainerDeclaration], error: TrainingMethodError | None = None
) -> Response:
    return _form_page(
        page,
        form,
        trainers,
        error,
        title="Add a New method",
        present=None,
        refused=_refused(page, "add", form.fields.get("internal_name") or _A_NAME_NOBODY_HAS)
        if not page.person.user().is_commercial
        else None,
    )


@router.get("/methods/{name}")
def method(page: Here, name: str) -> Response:
    """One method: what it offers, its history field by field, its runs, how to trigger it."""
    versions = page.do(MethodHistory(name=name))
    selectable = page.do(ShowMethod(name=name))
    changes = [
        (version, before.spec.differences(version.spec) if before else ())
        for before, version in zip([None, *versions], versions, strict=False)
    ]
    return page.show(
        "method.html",
        method=selectable,
        spec=selectable.spec,
        changes=changes[::-1],
        runs=page.do(ListRuns(query=RunsQuery(method=name, limit=_RUNS_SHOWN))).runs,
        may_not_modify=_refused(page, "modify", name),
        may_not_delete=_refused(page, "delete", name),
    )


@router.get("/methods/{name}/modify")
def modify_form(page: Here, name: str) -> Response:
    """The form with what the method says."""
    spec = page.do(ShowMethod(name=name)).spec
    trainers = page.do(OfferedTrainers())
    return _modify_page(page, MethodForm.of_method(spec, _declared(spec, trainers)), spec, trainers)


@router.post("/methods/{name}/modify")
def modify(page: Here, name: str, given: Form) -> Response:
    """Change what was given and is not as it was."""
    try:
        spec = page.do(ShowMethod(name=name)).spec
    except NotFound:
        # Who may what comes before why it cannot be.
        typed = {field: value for field, value in MethodForm.typed(given, ()).fields.items() if value}
        page.do(ModifyMethod(name=name, changes=typed))
        raise
    trainers = page.do(OfferedTrainers())
    trainer = text(given, "trainer") or spec.trainer
    declared = _declared(spec, trainers) if trainer == spec.trainer else _declared_for(page, trainer, "", trainers)
    form = MethodForm.typed(given, declared)
    if "look" in given:
        return _modify_page(page, form, spec, trainers)
    changes = form.changes(spec)
    if not changes:
        return page.go(f"/methods/{name}", said=f"{spec.display_name} is already like this; nothing was changed.")
    try:
        changed = page.do(ModifyMethod(name=name, changes=changes))
    except TrainingMethodError as error:
        return _modify_page(page, form, spec, trainers, error)
    fields = [change.field.replace("_", " ") for change in spec.differences(changed.method.spec)]
    return page.go(f"/methods/{name}", said=_sentence(f"Modified {', '.join(fields)}.", changed.remark))


def _modify_page(
    page: Page,
    form: MethodForm,
    spec: MethodSpec,
    trainers: Sequence[TrainerDeclaration],
    error: TrainingMethodError | None = None,
) -> Response:
    return _form_page(
        page,
        form,
        trainers,
        error,
        title=f"Modify {spec.display_name}",
        present=spec,
        refused=_refused(page, "modify", spec.internal_name),
    )


def _form_page(
    page: Page,
    form: MethodForm,
    trainers: Sequence[TrainerDeclaration],
    error: TrainingMethodError | None,
    *,
    title: str,
    present: MethodSpec | None,
    refused: TrainingMethodError | None,
) -> Response:
    only_some = present is not None and present.internal_name in TEMPLATES and not page.person.user().is_commercial
    trainer = form.fields.get("trainer") or (present.trainer if present else "")
    return page.show(
        "method_form.html",
        status=status_of(error) if error else 200,
        form=form,
        faults=Faults(error, fields=FIELDS).named(form.offered),
        title=title,
        present=present,
        trainers=trainers,
        trainer=_trainer(trainers, trainer),
        types=list(MethodType),
        backends=list(Backend),
        fixed={field for field in FIELDS if only_some and field not in SHAPEABLE_IN_TEMPLATES},
        names=[method.spec for method in page.do(ListMethods())] if present is None else [],
        base_models=page.do(ListBaseModels()),
        datasets=page.do(ListDatasets()),
        refused=refused,
    )


@router.get("/methods/{name}/delete")
def deletion(page: Here, name: str) -> Response:
    """What deleting would affect, before anybody is asked whether they want it."""
    shown = page.do(ShowMethod(name=name))
    refused = _refused(page, "delete", name)
    impact = page.do(DeletionImpact(name=name)) if refused is None else None
    return page.show("delete.html", spec=shown.spec, impact=impact, refused=refused)


@router.post("/methods/{name}/delete")
def delete(page: Here, name: str) -> Response:
    """Delete it."""
    changed = page.do(DeleteMethod(name=name))
    spec = changed.method.spec
    return page.go("/", said=_sentence(f"Deleted {spec.display_name}. It can no longer be chosen.", changed.remark))


def _declared_for(
    page: Page, trainer: str, start_from: str, trainers: Sequence[TrainerDeclaration]
) -> Sequence[ConfigurationOption]:
    """What the chosen trainer declares; for code of one's own what the method to start from brings."""
    if (found := _trainer(trainers, trainer)) is not None:
        return found.options
    return _declared(page.do(ShowMethod(name=start_from)).spec, trainers) if start_from else ()


def _declared(spec: MethodSpec, trainers: Sequence[TrainerDeclaration]) -> Sequence[ConfigurationOption]:
    if spec.code is not None:
        return spec.code.options
    found = _trainer(trainers, spec.trainer)
    return found.options if found else spec.configuration_options


def _trainer(trainers: Sequence[TrainerDeclaration], name: str) -> TrainerDeclaration | None:
    return next((trainer for trainer in trainers if trainer.name == name), None)


def _sentence(done: str, remark: str | None) -> str:
    return f"{done} {remark}" if remark else done
