"""The acts that make a machine serve: its tables, its Prefect server and workers, and how programs reach them."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from domain.catalogue.method_spec import Backend
from domain.errors import BackendUnavailable
from domain.people.users import User
from domain.use_cases.act import Act
from domain.values import Value


class Migrated(Value):
    """The preinstalled methods that are new; `remark` says what lags behind, such as Prefect."""

    installed: tuple[str, ...]
    remark: str | None = None


class Migrate(Act[Migrated]):
    """Create the tables and install the preinstalled methods of this machine's backends. Safe to repeat."""


class Serve(Act[None]):
    """Run the Prefect server and workers until interrupted; without backends, those of all that this machine has.

    Raises `BackendUnavailable` for workers of a backend that is not on this machine.
    """

    backends: tuple[Backend, ...] = ()
    with_workers: bool = True


class Work(Act[None]):
    """Run this machine's workers of one backend until interrupted. Raises `BackendUnavailable`."""

    backend: Backend


class Demonstrate(Act[None]):
    """Go from nothing to a trained model, with this method or the first demo of this machine.

    `keep` leaves the server and the worker running until interrupted.
    """

    method: str | None = None
    keep: bool = False


class LinesForPrograms(Act[Sequence[str]]):
    """Lines for a shell, with which any program reaches the Prefect server. Raises `PrefectUnavailable`."""


class SignInLink(Act[str]):
    """An address that signs a browser in to the Prefect UI, once and within ten minutes.

    Raises `PrefectUnavailable`.
    """


class ServePage(Act[None]):
    """Run the Training Methods page alone until interrupted. Raises `InvalidSettings` where that would not be safe."""


class PageLink(Act[str]):
    """An address of the page; on a machine of one's own it signs a browser in, once and within ten minutes.

    Raises `Unreachable` where the page is not served.
    """


class Machine(Protocol):
    """This machine, as it serves."""

    def migrate(self) -> Sequence[str]:
        """Create the tables once and install the preinstalled methods; names of those newly installed."""
        ...

    def update_prefect(self) -> str | None:
        """Let the Prefect catalogue follow a change; what to tell when it cannot follow now, or None."""
        ...

    def up(self, backends: Sequence[Backend], *, with_workers: bool) -> None:
        """Prefect server and workers until interrupted."""
        ...

    def worker(self, backend: Backend) -> None:
        """One backend's workers until interrupted."""
        ...

    def page(self) -> None:
        """The page alone until interrupted."""
        ...

    def page_link(self) -> str:
        """An address of the page."""
        ...

    def demo(self, method: str, *, keep: bool) -> None:
        """Everything from nothing to a trained model."""
        ...

    def lines_for_programs(self) -> Sequence[str]:
        """Lines for a shell, with which any program reaches the Prefect server."""
        ...

    def sign_in_link(self) -> str:
        """An address that signs a browser in to the Prefect UI."""
        ...


class Serving:
    """Does these acts on a machine that has these backends."""

    def __init__(self, machine: Machine, backends: Sequence[Backend]) -> None:
        self._machine = machine
        self._backends = tuple(backends)

    def migrate(self, _: Migrate, __: User, ___: UUID | None = None) -> Migrated:
        """Create the tables and install the preinstalled methods."""
        installed = tuple(self._machine.migrate())
        return Migrated(installed=installed, remark=self._machine.update_prefect() if installed else None)

    def serve(self, act: Serve, _: User, __: UUID | None = None) -> None:
        """Run the Prefect server and workers until interrupted."""
        backends = tuple(dict.fromkeys(act.backends)) or self._backends
        for backend in backends if act.with_workers else ():
            self._must_be_here(backend)
        self._machine.up(backends, with_workers=act.with_workers)

    def work(self, act: Work, _: User, __: UUID | None = None) -> None:
        """Run this machine's workers of one backend until interrupted."""
        self._must_be_here(act.backend)
        self._machine.worker(act.backend)

    def demonstrate(self, act: Demonstrate, _: User, __: UUID | None = None) -> None:
        """Go from nothing to a trained model."""
        self._machine.demo(act.method or self._demo(), keep=act.keep)

    def lines(self, _: LinesForPrograms, __: User, ___: UUID | None = None) -> Sequence[str]:
        """Lines for a shell, with which any program reaches the Prefect server."""
        return self._machine.lines_for_programs()

    def sign_in(self, _: SignInLink, __: User, ___: UUID | None = None) -> str:
        """An address that signs a browser in to the Prefect UI."""
        return self._machine.sign_in_link()

    def page(self, _: ServePage, __: User, ___: UUID | None = None) -> None:
        """Run the page alone until interrupted."""
        self._machine.page()

    def page_link(self, _: PageLink, __: User, ___: UUID | None = None) -> str:
        """An address of the page."""
        return self._machine.page_link()

    def _demo(self) -> str:
        return "sft-demo" if Backend.CUDA in self._backends else "mlx-demo"

    def _must_be_here(self, backend: Backend) -> None:
        if backend not in self._backends:
            raise BackendUnavailable(
                f"This machine has no backend {backend} (it has {', '.join(self._backends) or 'none'}). "
                "Install what it needs, or name it in TMM_BACKENDS."
            )
