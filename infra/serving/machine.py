"""This machine as it serves: its tables, its Prefect server and workers, and how programs reach them."""

from collections.abc import Sequence

from domain.catalogue.method_spec import Backend
from infra.serving.page.place import page_link
from infra.serving.prefect_environment import lines_for_programs, sign_in_link
from infra.upkeep.publishing import update_prefect
from infra.wiring import Installation


class Machine:
    """What the acts of serving are done with. What serves is imported when it is to serve."""

    def __init__(self, tmm: Installation) -> None:
        self._tmm = tmm

    def migrate(self) -> list[str]:
        """Create the tables once and install the preinstalled methods; names of those newly installed."""
        return self._tmm.migrate()

    def update_prefect(self) -> str | None:
        """Let the Prefect catalogue follow the selectable list; a warning when it cannot follow now."""
        return update_prefect(self._tmm)

    def up(self, backends: Sequence[Backend], *, with_workers: bool) -> None:
        """Prefect server and workers until interrupted."""
        from infra.serving.serving import serve

        serve(self._tmm, backends, with_workers=with_workers)

    def worker(self, backend: Backend) -> None:
        """One backend's workers until interrupted."""
        from infra.serving.serving import work

        work(self._tmm, backend)

    def page(self) -> None:
        """The page alone until interrupted."""
        from infra.serving.serving import serve_page_alone

        serve_page_alone(self._tmm)

    def page_link(self) -> str:
        """An address that leads to the page, and on a machine of one's own signs a browser in, once."""
        return page_link(self._tmm.settings)

    def demo(self, method: str, *, keep: bool) -> None:
        """Everything from nothing to a trained model."""
        from infra.serving.demonstration import demonstrate

        demonstrate(self._tmm, method, keep=keep)

    def lines_for_programs(self) -> list[str]:
        """Lines for a shell, with which any program reaches the Prefect server."""
        return lines_for_programs(self._tmm.settings)

    def sign_in_link(self) -> str:
        """An address that signs a browser in to the Prefect UI, once and within ten minutes."""
        return sign_in_link(self._tmm.settings)
