"""The audit log: entries with filters that stand in the address, counts, and why things are as they are."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, time
from itertools import chain
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from adapters.shared.showing.entry_documents import cell
from adapters.web.page import Here, Page, PageRoute, status_of
from adapters.web.rendering import addressed
from domain.audit.read_models import AuditEntry, AuditQuery, CountBy
from domain.audit.read_models import AuditPage as Entries
from domain.errors import InvalidQuery, TrainingMethodError
from domain.people.users import Origin
from domain.printable import printable
from domain.use_cases.audit import AuditPage, CountAudit, HowTheLogStands, Why

router = APIRouter(route_class=PageRoute)

FILTERS = ("actor", "action", "method", "run", "outcome", "origin", "licence", "text", "since", "until")
_SECOND = (CountBy.OUTCOME, CountBy.ORIGIN, CountBy.ACTION, CountBy.ACTOR, CountBy.METHOD)
_COLUMNS = 8
_ROWS = 30
_A_PAGE = 50
_EXPORTED_AT_ONCE = 1000


@router.get("/audit")
def audit(page: Here, request: Request) -> Response:
    """Entries, the newest first."""
    asked = {name: request.query_params.get(name, "") for name in (*FILTERS, "after")}
    filters = {name: asked[name] for name in FILTERS}
    try:
        query = _query(asked, newest_first=True, limit=_A_PAGE)
        found = page.do(AuditPage(query=query))
    except InvalidQuery as error:
        return _audit_page(page, filters, error=error)
    older = found.next_after and addressed("/audit", filters | {"after": found.next_after})
    return _audit_page(page, filters, entries=found.entries, older=older, is_later=bool(asked["after"]))


def _audit_page(
    page: Page, filters: Mapping[str, str], *, error: TrainingMethodError | None = None, **found: Any
) -> Response:
    shown = {"entries": (), "older": None, "is_later": False} | found
    return page.show(
        "audit.html",
        status=status_of(error) if error else 200,
        filters=filters,
        error=error,
        newest=addressed("/audit", filters),
        counting=addressed("/audit/counts", filters),
        origins=list(Origin),
        stands=page.do(HowTheLogStands()),
        exports=[(form, addressed("/audit/export", {**filters, "form": form})) for form in _FORMS],
        **shown,
    )


@router.get("/audit/export")
def export(page: Here, request: Request, form: str = "jsonl") -> Response:
    """All entries that fit, the oldest first, as a file: a line an entry."""
    asked = {name: request.query_params.get(name, "") for name in FILTERS}
    write = _FORMS.get(form, _json_lines)
    query = _query(asked, limit=_EXPORTED_AT_ONCE)
    first = page.do(AuditPage(query=query))  # what is wrong with the filters is told before a file begins
    headers = {"Content-Disposition": f'attachment; filename="audit-log.{"csv" if write is _csv else "jsonl"}"'}
    return StreamingResponse(write(_all_entries(page, query, first)), media_type="text/plain", headers=headers)


def _all_entries(page: Page, query: AuditQuery, first: Entries) -> Iterator[AuditEntry]:
    found = first
    yield from found.entries
    while found.next_after is not None:
        found = page.do(AuditPage(query=query.model_copy(update={"after": found.next_after})))
        yield from found.entries


def _json_lines(entries: Iterable[AuditEntry]) -> Iterator[str]:
    return (json.dumps(entry.document(), ensure_ascii=False) + "\n" for entry in entries)


def _csv(entries: Iterable[AuditEntry]) -> Iterator[str]:
    """Rows that no spreadsheet takes for formulas."""
    for row in chain([AuditEntry.model_fields], (entry.document().values() for entry in entries)):
        written = io.StringIO()
        csv.writer(written).writerow([printable(cell(value)) for value in row])
        yield written.getvalue()


_FORMS = {"jsonl": _json_lines, "csv": _csv}


@router.get("/audit/counts")
def counts(page: Here, request: Request, by: str = "action", across: str = "outcome") -> Response:
    """How many entries fit, by one of their facts, or by two."""
    filters = {name: request.query_params.get(name, "") for name in FILTERS}
    query = _query(filters)
    first = CountBy(by) if by in list(CountBy) else CountBy.ACTION
    second = CountBy(across) if across in list(_SECOND) and across != by else None
    totals = page.do(CountAudit(by=first, query=query))
    columns: dict[str, dict[str | None, int]] = {}
    if second is not None and not filters.get(second.value):
        for column in [one for one in page.do(CountAudit(by=second, query=query)) if one.value][:_COLUMNS]:
            narrowed = AuditQuery.model_validate(query.model_dump() | {second.value: column.value})
            cells = page.do(CountAudit(by=first, query=narrowed))
            columns[str(column.value)] = {cell.value: cell.entries for cell in cells}
    return page.show(
        "counts.html",
        filters=filters,
        by=first,
        across=second,
        totals=totals[:_ROWS],
        more=max(0, len(totals) - _ROWS),
        columns=columns,
        firsts=list(CountBy),
        seconds=_SECOND,
        entries=addressed("/audit", filters),
    )


@router.get("/audit/why")
def why(page: Here, method: str = "") -> Response:
    """Why a method can, or cannot, be chosen."""
    standing, error = None, None
    if method:
        try:
            standing = page.do(Why(name=method.strip()))
        except TrainingMethodError as refused:
            error = refused
    status = status_of(error) if error else 200
    return page.show("why.html", status=status, method=method, standing=standing, error=error)


def _query(asked: Mapping[str, str], **more: Any) -> AuditQuery:
    given: dict[str, Any] = {name: value.strip() for name, value in asked.items() if value.strip()}
    for name in ("since", "until"):
        if name in given:
            given[name] = _moment(name, given[name])
    return AuditQuery.model_validate(given | more)


def _moment(name: str, typed: str) -> datetime:
    """A day, or a time, in UTC unless it says another zone; «until» a day is until its end."""
    try:
        moment = datetime.fromisoformat(typed)
    except ValueError:
        raise InvalidQuery(f"{name}: must be a day such as 2026-11-30, or a time such as 2026-11-30 14:00.") from None
    if len(typed) == len("2026-11-30") and name == "until":
        moment = datetime.combine(moment, time.max)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
