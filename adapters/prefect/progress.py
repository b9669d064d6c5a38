"""A run's progress as a Prefect progress artifact, which the UI, programs and `tmm train` read alike."""

import contextvars
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import UUID

from adapters.prefect.pages import run_page

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_SECONDS_BETWEEN_UPDATES = 0.5
_SIGN_OF_LIFE_EVERY_S = 10.0
_SECONDS_BETWEEN_PAGES = 3.0
_PATIENCE_AT_THE_END_S = 3.0


class ToldToPrefect:
    """Tells Prefect how a run goes, from a thread of its own: a slow or absent server never slows a training.

    Use it in a `with`, inside the flow run. At most two updates a second, of the newest step; and a sign of life every
    ten seconds, so that others can tell a long step from a process that is gone. A page of the run shows the curve,
    which `draw` makes of the steps as an SVG.
    """

    def __init__(self, run_id: UUID, *, title: str = "", draw: Callable[[Sequence[Mapping[str, float]]], str]) -> None:
        self._run_id = run_id
        self._title = title
        self._draw = draw
        self._steps: list[Mapping[str, float]] = []
        self._share = 0.0
        self._line = "the training is about to begin"
        self._first: tuple[int, float] | None = None
        self._changed = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._tell,), name="told-to-prefect", daemon=True
        )

    def __enter__(self) -> Self:
        self._changed.set()
        self._thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._ending.set()
        self._changed.set()
        self._thread.join(_PATIENCE_AT_THE_END_S)

    def phase(self, words: str) -> None:
        """What the run does beside optimiser steps, such as measuring."""
        self._line = words
        self._changed.set()

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """A step is done. Raises Prefect's `Pause`, for the flow to let through, once somebody suspended the run."""
        now = time.monotonic()
        first, since = self._first = self._first or (step, now)
        left = (now - since) / (step - first) * (total - step) if step > first else None
        self._steps.append({"step": step, **metrics})
        self._share, self._line = step / total, progress_line(step, total, metrics, left)
        self._changed.set()
        _stop_if_suspended()

    def _tell(self) -> None:
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            bar = _Artifact(client, self._run_id, f"progress-{self._run_id}", "progress")
            page = _Artifact(client, self._run_id, f"training-run-{self._run_id}", "markdown")
            page_told = 0.0
            while not self._ending.is_set() or self._changed.is_set():
                self._changed.wait(_SIGN_OF_LIFE_EVERY_S)
                self._changed.clear()
                try:
                    bar.tell(100 * self._share, self._line)
                    if self._ending.is_set() or time.monotonic() - page_told > _SECONDS_BETWEEN_PAGES:
                        page.tell(self._page())
                        page_told = time.monotonic()
                except Exception:  # whatever ails Prefect: the training has its metrics file, and the next step comes
                    if self._ending.is_set():
                        return
                self._ending.wait(_SECONDS_BETWEEN_UPDATES)

    def _page(self) -> str:
        steps = list(self._steps)
        return run_page(self._title, self._line, self._draw(steps) if steps else "")


def _stop_if_suspended() -> None:
    from prefect.context import FlowRunContext

    # Prefect hears of it in a thread of its own, and asks between a flow's tasks only.
    if (context := FlowRunContext.get()) is not None:
        context.flow_run_suspension_request.raise_if_requested()


class _Artifact:
    """One artifact of the run, made when it is first told of and changed from then on."""

    def __init__(self, client: "SyncPrefectClient", run_id: UUID, key: str, type_: str) -> None:
        self._client = client
        self._made = {"key": key, "type": type_, "flow_run_id": str(run_id)}
        self._id: str | None = None

    def tell(self, data: float | str, description: str | None = None) -> None:
        # Without the client's own methods, which would emit an event for each update.
        told = {"data": data, "description": description}
        if self._id is None:
            self._id = str(self._client.request("POST", "/artifacts/", json=self._made | told).json()["id"])
        else:
            self._client.request("PATCH", "/artifacts/{id}", path_params={"id": self._id}, json=told)


def progress_line(step: int, total: int, metrics: Mapping[str, float], seconds_left: float | None) -> str:
    """«step 12 of 100 · loss 1.234 · 0:07 left»: the first metric that tells how the training goes, and the time."""
    told = next((f" · {name} {metrics[name]:.3f}" for name in ("reward", "loss") if name in metrics), "")
    if seconds_left is None:
        return f"step {step} of {total}{told}"
    minutes, seconds = divmod(round(seconds_left), 60)
    return f"step {step} of {total}{told} · {minutes}:{seconds:02} left"
