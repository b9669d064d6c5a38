"""`tmm up` and `tmm worker`: Prefect and workers, watched over until interrupted."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from adapters.cli.output import plain, remark, say
from domain.catalogue.method_spec import Backend
from domain.secrets import shown_address
from infra.serving.emitting import Emitter
from infra.serving.one_server import only_here, the_only_server
from infra.serving.page.place import how_to_open, known_page
from infra.serving.prefect_environment import api_url_or_refuse, how_to_sign_in, known_api_url
from infra.serving.prefect_pages import show_pages
from infra.serving.supervisor import Supervisor, interrupts_raised
from infra.upkeep.publishing import show_catalogue
from infra.upkeep.reconciliation import Reconciler

if TYPE_CHECKING:
    from infra.wiring import Installation

_RECONCILE_EVERY_S = 10.0
_SHOW_CATALOGUE_EVERY_S = 60.0


def serve(tmm: "Installation", backends: Sequence[Backend], *, with_workers: bool) -> None:
    """A Prefect server (unless PREFECT_API_URL names one), the catalogue in it, and workers for each backend."""
    with ExitStack() as stack:
        stack.enter_context(interrupts_raised())
        supervisor = stack.enter_context(Supervisor(tmm.settings, say=remark))
        if started_here := (api_url := os.environ.get("PREFECT_API_URL")) is None:
            stack.enter_context(only_here(tmm.settings))
            api_url = supervisor.start_server(preferred_port=tmm.settings.prefect_port)
            stack.enter_context(the_only_server(tmm.settings, api_url))
        for backend in backends if with_workers else ():
            supervisor.start_worker(backend, api_url)
        tmm.preinstall()
        page_url = supervisor.start_page(api_url)
        stack.enter_context(known_page(tmm.settings, page_url))
        supervisor.await_server(api_url)
        care = _Care(tmm, backends, emitter=Emitter(tmm))
        care.show_catalogue()
        say(how_to_open(tmm.settings, page_url))
        say(f"The Prefect UI is at {shown_address(api_url).removesuffix('/api')}")
        if started_here:
            say(how_to_sign_in(tmm.settings))
        if with_workers:
            say(f"Workers serve {' and '.join(backends)}. Train with: tmm train sft-demo")
        else:
            say(f"Start workers on other machines with what `tmm env` prints, and: tmm worker --backend {backends[0]}")
        _until_interrupted(supervisor, care)


def serve_page_alone(tmm: "Installation") -> None:
    """The page, for a Prefect that is served elsewhere or by another process, until interrupted."""
    with ExitStack() as stack:
        stack.enter_context(interrupts_raised())
        supervisor = stack.enter_context(Supervisor(tmm.settings, say=remark))
        tmm.preinstall()
        page_url = supervisor.start_page(known_api_url(tmm.settings))
        stack.enter_context(known_page(tmm.settings, page_url))
        say(how_to_open(tmm.settings, page_url))
        remark("Press Ctrl-C to stop.")
        supervisor.watch()


def work(tmm: "Installation", backend: Backend) -> None:
    """One worker of a backend's pool, on the server that PREFECT_API_URL or this data folder names."""
    with interrupts_raised(), Supervisor(tmm.settings, say=remark) as supervisor:
        api_url = api_url_or_refuse(tmm.settings)
        tmm.preinstall()
        care = _Care(tmm, [backend])
        care.show_catalogue()
        supervisor.start_worker(backend, api_url)
        say(f"This worker serves {backend} for the Prefect at {shown_address(api_url).removesuffix('/api')}")
        _until_interrupted(supervisor, care)


def _until_interrupted(supervisor: Supervisor, care: "_Care") -> None:
    remark("Press Ctrl-C to stop.")
    try:
        supervisor.watch(care.look)
    finally:
        supervisor.stop_workers()
        care.reconcile()  # what the workers carried is ended now, and everyone shall know


class _Care:
    """What is looked after while workers work: that no run is stuck, and that Prefect shows the catalogue as it is."""

    def __init__(self, tmm: "Installation", backends: Sequence[Backend], *, emitter: Emitter | None = None) -> None:
        self._tmm = tmm
        self._emitter = emitter
        self._backends = backends
        self._reconciler = Reconciler(tmm)
        self._reconciled = self._shown = time.monotonic()
        self._said: dict[str, str] = {}

    def look(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        if self._emitter is not None:
            self._quietly("events", self._emitter.emit)
        if now - self._reconciled > _RECONCILE_EVERY_S:
            self._reconciled = now
            self.reconcile()
        if now - self._shown > _SHOW_CATALOGUE_EVERY_S:
            self._shown = now
            self._quietly("catalogue", self.show_catalogue)

    def reconcile(self) -> None:
        """Let no run stay stuck."""
        self._quietly("runs", self._reconcile)

    def _reconcile(self) -> None:
        for sentence in self._reconciler.reconcile():
            remark(plain(sentence))

    def show_catalogue(self) -> None:
        """Pools, deployments and pages as they should be, also after somebody changed or lost them."""
        self._tmm.pools.ensure(self._backends)
        show_catalogue(self._tmm)
        if self._emitter is not None:
            show_pages(self._tmm)

    def _quietly(self, what: str, do: Callable[[], object]) -> None:
        """Whatever is away now is back some time; it is said once, and the workers go on."""
        try:
            do()
            self._said.pop(what, None)
        except Exception as error:
            words = self._tmm.shown(str(self._tmm.explain(error) or f"{type(error).__name__}: {error}"))
            if words != self._said.get(what):
                remark(f"warning: {plain(words)}")
            self._said[what] = words
