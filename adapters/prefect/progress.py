"""A run's progress as a Prefect progress artifact, which the UI, programs and `tmm train` read alike."""

import time
from collections.abc import Mapping
from uuid import UUID

_SECONDS_BETWEEN_UPDATES = 0.5


class ProgressArtifact:
    """Tells Prefect about each step, but no more often than twice a second. Made inside a flow run."""

    def __init__(self, run_id: UUID) -> None:
        from prefect.artifacts import create_progress_artifact

        made = create_progress_artifact(
            progress=0, key=f"progress-{run_id}", description="The training is about to begin"
        )
        assert isinstance(made, UUID)  # a coroutine only inside an event loop, and a flow's body is none
        self._id = made
        self._began = time.monotonic()
        self._told = 0.0

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        from prefect.artifacts import update_progress_artifact

        now = time.monotonic()
        if step < total and now - self._told < _SECONDS_BETWEEN_UPDATES:
            return
        self._told = now
        left = (now - self._began) / step * (total - step)
        update_progress_artifact(self._id, 100 * step / total, description=progress_line(step, total, metrics, left))


def progress_line(step: int, total: int, metrics: Mapping[str, float], seconds_left: float) -> str:
    """«step 12 of 100 · loss 1.234 · 0:07 left»: the first metric that tells how the training goes, and the time."""
    told = next((f" · {name} {metrics[name]:.3f}" for name in ("reward", "loss") if name in metrics), "")
    minutes, seconds = divmod(round(seconds_left), 60)
    return f"step {step} of {total}{told} · {minutes}:{seconds:02} left"
