"""The pages that people read in Prefect: the catalogue, and each method with its history and its newest runs."""

from typing import TYPE_CHECKING

from adapters.prefect.pages import CATALOGUE_KEY, catalogue_page, method_key, method_page
from domain.audit.read_models import AuditQuery

if TYPE_CHECKING:
    from infra.wiring import Installation

_ENTRIES = 20
_RUNS = 10


def show_pages(tmm: "Installation") -> None:
    """Bring the pages up to date. Raises `PrefectUnavailable`."""
    selectable = tmm.catalogue.selectable()
    pages = {CATALOGUE_KEY: catalogue_page(selectable, tmm.published.addresses())}
    for method in selectable:
        name = method.spec.internal_name
        entries = tmm.auditing.entries(AuditQuery(method=name, newest_first=True, limit=_ENTRIES))
        runs = tmm.trainings.all(method=name, limit=_RUNS)
        pages[method_key(method)] = method_page(
            method,
            [entry for entry in entries if entry.subject_type == "method"],
            runs,
            {run.run_id: tmm.flow_runs.address(run.run_id) for run in runs},
        )
    tmm.prefect_pages.show(pages)
