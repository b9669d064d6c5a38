"""Runs side by side."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from adapters.web.page import Here, PageRoute
from adapters.web.pages.runs import run_id_of
from adapters.web.run_view import RunView, compared_curves
from domain.errors import InvalidRunRequest
from domain.runs.comparison import Comparison
from domain.use_cases.results import CompareRuns

router = APIRouter(route_class=PageRoute)

AT_MOST = 4


@router.get("/compare")
def compare(page: Here, run: Annotated[list[str], Query()] = []) -> Response:  # noqa: B006 -- FastAPI copies it
    """Options that differ, measures, and all curves in one picture."""
    ids = tuple(dict.fromkeys(run_id_of(one) for one in run))
    if not 2 <= len(ids) <= AT_MOST:
        raise InvalidRunRequest(f"Choose 2 to {AT_MOST} runs to compare; {len(ids)} are chosen. See them at: tmm runs")
    found = page.do(CompareRuns(runs=ids))
    return page.show(
        "compare.html",
        views=[RunView(shown) for shown in found.runs],
        curves=compared_curves(found.runs),
        making=_rows("making", found.beside),
        options=_rows("options", found.beside),
        measures=dict.fromkeys(name for view in found.runs for name in view.run.after or {}),
        beside=found.beside,
    )


def _rows(part: str, beside: tuple[Comparison, ...]) -> list[tuple[str, list[object]]]:
    """A row for each thing that differs between the first run and any other; what is the same is the first one's."""
    differing = [{found.name: found for found in getattr(comparison, part)} for comparison in beside]
    rows: list[tuple[str, list[object]]] = []
    for name in dict.fromkeys(name for one in differing for name in one):
        first = next(one[name].one for one in differing if name in one)
        rows.append((name, [first, *(one[name].other if name in one else first for one in differing)]))
    return rows
