"""Who the person is here."""

from fastapi import APIRouter, Response

from adapters.web.page import Here, PageRoute
from domain.audit.read_models import AuditQuery
from domain.use_cases.audit import AuditPage
from domain.use_cases.runs import ListRuns, RunsQuery

router = APIRouter(route_class=PageRoute)

_SHOWN = 10


@router.get("/me")
def me(page: Here) -> Response:
    """Name, edition and why, roles, and what they did last."""
    user = page.person.user()
    acts = AuditQuery(actor=user.name, newest_first=True, limit=_SHOWN)
    return page.show(
        "me.html",
        user=user,
        roles=sorted(str(role) for role in page.person.roles),
        entries=page.do(AuditPage(query=acts)).entries,
        runs=page.do(ListRuns(query=RunsQuery(requested_by=user.name, limit=_SHOWN))).runs,
    )
