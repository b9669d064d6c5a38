"""A run's newest checkpoint, copied to where every machine reaches it, so that another one can go on with the run."""

import json
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID, uuid5

from adapters.shared.training.training_progress import METRICS_FILE
from domain.errors import NotFound, Unreachable
from domain.training import Checkpoints

if TYPE_CHECKING:
    from adapters.artifacts.artifact_store import Artifacts

_SAYS, _CHECKPOINT, _BEING_COPIED = "copy.json", "checkpoint", ".being-copied-"
_LOOK_EVERY_S = 1.0
_LOOK_AGAIN_AFTER_FAILURE_S = 10.0
_PATIENCE_AT_THE_END_S = 3.0


class _Copy(NamedTuple):
    address: str
    run_id: UUID
    step: int


class SharedCheckpoints:
    """Copies of runs' newest checkpoints in a folder, or whatever fsspec reaches.

    A run's copies take turns in two places: one that is cut short leaves the one before it whole.
    """

    def __init__(self, store: "Artifacts") -> None:
        self._store = store

    @contextmanager
    def kept_up(self, run_id: UUID, folder: Path, checkpoints: Checkpoints) -> Iterator[None]:
        """While the `with` lasts, copy each newer checkpoint of the run in this folder, from a thread of its own."""
        ending = threading.Event()
        thread = threading.Thread(
            target=self._keep_up, args=(run_id, folder, checkpoints, ending), name="shared-checkpoints", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join(_PATIENCE_AT_THE_END_S)

    def bring(self, run_id: UUID, folder: Path, checkpoints: Checkpoints) -> None:
        """Bring the run's newest copy to this machine, if it is newer than what is here. Raises `Unreachable`."""
        here = _step(checkpoints)
        try:
            for copy in sorted(self._copies_of(run_id), key=lambda copy: -copy.step):
                if copy.step > here and self._brought(copy, folder, checkpoints):
                    return
        except Exception as error:  # every kind of storage has its own
            raise Unreachable(
                f"The shared checkpoints cannot be read ({error}). Resume the run when they can be, or set "
                "TMM_SHARED_CHECKPOINTS to nothing."
            ) from error

    def clear(self, has_ended: Callable[[UUID], bool]) -> None:
        """Let go of the copies of runs that have ended for good."""
        with suppress(Exception):  # every kind of storage has its own; what is left does no harm
            for copy in filter(None, map(self._said, self._store.addresses())):
                if has_ended(copy.run_id):
                    self._store.discard(copy.address)

    def _keep_up(self, run_id: UUID, folder: Path, checkpoints: Checkpoints, ending: threading.Event) -> None:
        for left in folder.glob(f"{_BEING_COPIED}*"):
            shutil.rmtree(left, ignore_errors=True)  # by a process that was killed
        copied, pause = 0, _LOOK_EVERY_S
        while not ending.wait(pause):
            pause = _LOOK_EVERY_S
            if (newest := checkpoints.newest()) is None or newest[0] == copied:
                continue
            try:
                self._copy(run_id, folder, *newest)
                copied = newest[0]
            except FileNotFoundError:
                continue  # it has given way to a newer one
            except Exception as error:  # every kind of storage has its own; the training goes on
                logging.getLogger(__name__).warning("The checkpoint of step %d was not copied: %s", newest[0], error)
                pause = _LOOK_AGAIN_AFTER_FAILURE_S

    def _copy(self, run_id: UUID, folder: Path, step: int, checkpoint: Path) -> None:
        known = {copy.address.rpartition("/")[2]: copy.step for copy in self._copies_of(run_id)}
        place = min(_places(run_id), key=lambda place: known.get(str(place), 0))
        with tempfile.TemporaryDirectory(dir=folder, prefix=_BEING_COPIED) as temporary:
            copy = Path(temporary)
            shutil.copytree(checkpoint, copy / _CHECKPOINT, copy_function=_link)
            if (metrics := folder / METRICS_FILE).exists():
                shutil.copy(metrics, copy / METRICS_FILE)
            (copy / _SAYS).write_text(json.dumps({"run_id": str(run_id), "step": step}))
            self._store.store(place, copy)

    def _copies_of(self, run_id: UUID) -> list[_Copy]:
        copies = (self._said(self._store.address_of(place)) for place in _places(run_id))
        return [copy for copy in copies if copy is not None]

    def _said(self, address: str) -> _Copy | None:
        if (said := self._store.read(address, _SAYS)) is None:
            return None
        return _Copy(address, UUID((facts := json.loads(said))["run_id"]), facts["step"])

    def _brought(self, copy: _Copy, folder: Path, checkpoints: Checkpoints) -> bool:
        try:
            brought = self._store.fetch(copy.address)
        except NotFound:
            return False  # it is not whole

        def write(into: Path) -> None:
            shutil.copytree(brought / _CHECKPOINT, into, dirs_exist_ok=True)

        try:
            checkpoints.save(copy.step, write)
            if (metrics := brought / METRICS_FILE).exists():
                with (folder / METRICS_FILE).open("ab") as file:
                    file.write(metrics.read_bytes())
        finally:
            if "://" in copy.address:
                shutil.rmtree(brought, ignore_errors=True)
        return True


def _places(run_id: UUID) -> tuple[UUID, UUID]:
    return uuid5(run_id, "one"), uuid5(run_id, "other")


def _step(checkpoints: Checkpoints) -> int:
    newest = checkpoints.newest()
    return newest[0] if newest else 0


def _link(source: str, target: str) -> None:
    """Without a second copy of gigabytes, where the file system allows it."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)
