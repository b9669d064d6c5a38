"""Lets Prefect follow: its deployments show the selectable list, and its flow runs what became of them."""

from typing import TYPE_CHECKING

from domain.errors import PrefectUnavailable
from infra.serving.prefect_environment import known_api_url

if TYPE_CHECKING:
    from infra.wiring import Installation


def update_prefect(tmm: "Installation") -> str | None:
    """Let the Prefect catalogue follow the selectable list; a warning when it cannot follow now."""
    if known_api_url(tmm.settings) is None:
        return None  # nobody looks yet: `tmm up` brings the catalogue with it
    try:
        show_catalogue(tmm)
    except PrefectUnavailable as error:
        return f"The change is done, and Prefect will show it when it is reached again. {error}"
    return None


def show_catalogue(tmm: "Installation") -> list[str]:
    """Make Prefect show the selectable list; a sentence about each change. Raises `PrefectUnavailable`."""
    shown, changed = None, []
    while (selectable := tmm.catalogue.selectable()) != shown:
        # Somebody may change the list while it is being shown; then it is shown once more.
        changed += tmm.published.reconcile(selectable)
        shown = selectable
    return changed


def fix(tmm: "Installation") -> list[str]:
    """Put right runs that are stuck, and what Prefect shows; a sentence about each. Raises `PrefectUnavailable`."""
    from infra.upkeep.reconciliation import Reconciler

    tmm.pools.ensure(tmm.settings.backends)
    return [*Reconciler(tmm).reconcile(), *show_catalogue(tmm)]
