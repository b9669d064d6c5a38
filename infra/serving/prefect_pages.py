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
    service = tmm.service
    selectable = service.selectable_methods()
    pages = {CATALOGUE_KEY: catalogue_page(selectable, tmm.catalogue.addresses())}
    for method in selectable:
        name = method.spec.internal_name
        entries = service.audit(AuditQuery(method=name, newest_first=True, limit=_ENTRIES))
        runs = service.training_runs(method=name, limit=_RUNS)
        pages[method_key(method)] = method_page(
            method,
            [entry for entry in entries if entry.subject_type == "method"],
            runs,
            {run.run_id: tmm.runs.address(run.run_id) for run in runs},
        )
    tmm.prefect_pages.show(pages)
