"""Acts on the catalogue."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from domain.use_cases.queries import Verdict

from adapters import trainers
from domain.audit.read_models import AuditEntry, AuditQuery, MethodVersion, Run, SelectableMethod
from domain.catalogue.trainer_declaration import TrainerDeclaration
from domain.errors import RunNotFound, Unreachable
from domain.people.users import User
from domain.runs.training_run import RunStatus
from domain.use_cases.methods import (
    AddMethod,
    Changed,
    DeleteMethod,
    DeletionImpact,
    Impact,
    Listed,
    ListMethods,
    MayI,
    MethodHistory,
    MethodsAtAGlance,
    ModifyMethod,
    OfferedTrainers,
    ShowMethod,
)
from infra.adding import FROM, spec_of
from infra.wiring import Installation

_RUNS_LOOKED_AT = 500
_ENTRIES_LOOKED_AT = 1000
_WAITING_AT_MOST = 10_000


def list_methods(tmm: Installation, act: ListMethods, _: User) -> Sequence[SelectableMethod]:
    return tmm.service.selectable_methods(as_of=act.as_of)


def at_a_glance(tmm: Installation, _: MethodsAtAGlance, __: User) -> Sequence[Listed]:
    return _listed(tmm, tmm.service.catch_up().hash)


@lru_cache(maxsize=4)
def _listed(tmm: Installation, _head: str) -> Sequence[Listed]:
    """The list as it is while the log ends with this hash: it is looked at far more often than anything happens."""
    newest: dict[str, Run] = {}
    for run in tmm.service.training_runs(limit=_RUNS_LOOKED_AT):
        newest.setdefault(run.request.method, run)
    added: dict[str | None, AuditEntry] = {}
    for action in ("preinstall", "add", "add-again"):
        query = AuditQuery(action=action, outcome="done", newest_first=True, limit=_ENTRIES_LOOKED_AT)
        for entry in tmm.service.audit(query):
            before = added.get(entry.method)
            if before is None or before.position < entry.position:
                added[entry.method] = entry
    listed = []
    for method in tmm.service.selectable_methods():
        name = method.spec.internal_name
        came = added.get(name)
        listed.append(
            Listed(
                method=method,
                added_by=came.actor if came else None,
                added_at=came.recorded_at if came else None,
                last_run=newest.get(name),
            )
        )
    return listed


def show_method(tmm: Installation, act: ShowMethod, _: User) -> SelectableMethod:
    return tmm.service.selectable_method(act.name)


def history(tmm: Installation, act: MethodHistory, _: User) -> Sequence[MethodVersion]:
    return tmm.service.method_versions(act.name)


def may_i(tmm: Installation, act: MayI, by: User) -> Verdict:
    return tmm.service.verdict(act.action, act.name, by=by)


def add(tmm: Installation, act: AddMethod, by: User) -> Changed:
    tried = dict(act.fields) | ({FROM: act.start_from} if act.start_from else {})
    with tmm.service.rights_before_values("add", str(act.fields.get("internal_name", "")), by=by, tried=tried):
        spec = spec_of(tmm, tried)
    method = tmm.service.add_method(spec, by=by)
    return Changed(method=method, remark=tmm.update_prefect())


def modify(tmm: Installation, act: ModifyMethod, by: User) -> Changed:
    method = tmm.service.modify_method(act.name, act.changes, by=by)
    return Changed(method=method, remark=tmm.update_prefect())


def impact(tmm: Installation, act: DeletionImpact, _: User) -> Impact:
    waiting = tmm.service.training_runs(method=act.name, status=RunStatus.REQUESTED, limit=_WAITING_AT_MOST)
    return Impact(sentence=tmm.affected_by_deleting(act.name), waiting=tuple(waiting))


def delete(tmm: Installation, act: DeleteMethod, by: User) -> Changed:
    method = tmm.service.selectable_method(act.name)
    for run_id in tmm.service.delete_method(act.name, by=by):
        # The event store has the cancellation; Prefect shows it too, where it can be reached.
        with suppress(Unreachable, RunNotFound):
            tmm.runs.cancel(run_id, f"The training method {act.name!r} was deleted before the run started.")
    return Changed(method=method, remark=tmm.update_prefect())


def offered_trainers(_: Installation, __: OfferedTrainers, ___: User) -> Sequence[TrainerDeclaration]:
    return list(trainers.declarations().values())


HANDLERS: dict[type, Callable[..., Any]] = {
    ListMethods: list_methods,
    MethodsAtAGlance: at_a_glance,
    ShowMethod: show_method,
    MethodHistory: history,
    MayI: may_i,
    AddMethod: add,
    ModifyMethod: modify,
    DeletionImpact: impact,
    DeleteMethod: delete,
    OfferedTrainers: offered_trainers,
}
