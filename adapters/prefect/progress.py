"""A run's progress as a Prefect progress artifact, which the UI, programs and `tmm train` read alike."""

import contextvars
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import UUID

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_SECONDS_BETWEEN_UPDATES = 0.5
_SIGN_OF_LIFE_EVERY_S = 10.0
_PATIENCE_AT_THE_END_S = 3.0


class ToldToPrefect:
    """Tells Prefect how a run goes, from a thread of its own: a slow or absent server never slows a training.

    Use it in a `with`, inside the flow run. At most two updates a second, of the newest step; and a sign of life every
    ten seconds, so that others can tell a long step from a process that is gone.
    """

    def __init__(self, run_id: UUID) -> None:
        self._run_id = run_id
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
        now = time.monotonic()
        first, since = self._first = self._first or (step, now)
        left = (now - since) / (step - first) * (total - step) if step > first else None
        self._share, self._line = step / total, progress_line(step, total, metrics, left)
        self._changed.set()

    def _tell(self) -> None:
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            artifact: UUID | None = None
            while not self._ending.is_set() or self._changed.is_set():
                self._changed.wait(_SIGN_OF_LIFE_EVERY_S)
                self._changed.clear()
                try:
                    artifact = self._tell_once(client, artifact)
                except Exception:  # whatever ails Prefect: the training has its metrics file, and the next step comes
                    if self._ending.is_set():
                        return
                self._ending.wait(_SECONDS_BETWEEN_UPDATES)

    def _tell_once(self, client: "SyncPrefectClient", artifact: UUID | None) -> UUID:
        share, line = 100 * self._share, self._line
        if artifact is None:
            from prefect.client.schemas.actions import ArtifactCreate

            made = ArtifactCreate(
                key=f"progress-{self._run_id}",
                type="progress",
                data=share,
                description=line,
                flow_run_id=self._run_id,
            )
            return client.create_artifact(made).id
        # Without the client's own method, which would emit an event for each update.
        client.request(
            "PATCH", "/artifacts/{id}", path_params={"id": artifact}, json={"data": share, "description": line}
        )
        return artifact


def progress_line(step: int, total: int, metrics: Mapping[str, float], seconds_left: float | None) -> str:
    """«step 12 of 100 · loss 1.234 · 0:07 left»: the first metric that tells how the training goes, and the time."""
    told = next((f" · {name} {metrics[name]:.3f}" for name in ("reward", "loss") if name in metrics), "")
    if seconds_left is None:
        return f"step {step} of {total}{told}"
    minutes, seconds = divmod(round(seconds_left), 60)
    return f"step {step} of {total}{told} · {minutes}:{seconds:02} left"
