"""Checkpoints of a run under way: whole or not there, and only the newest few."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_PREFIX = "checkpoint-"
_UNFINISHED = ".unfinished-"


class FolderCheckpoints:
    """Checkpoints as folders `checkpoint-<step>` under one folder. One process at a time writes here."""

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError("a run keeps at least one checkpoint")
        self.folder = folder
        self._keep = keep

    def save(self, step: int, write: Callable[[Path], None]) -> None:
        """Keep the state after `step` steps. One that is there already is whole, and stays as it is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._remove_unfinished()
        whole = self.folder / f"{_PREFIX}{step}"
        if not whole.exists():
            unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.folder))
            try:
                write(unfinished)
                _to_disk(unfinished)
                unfinished.rename(whole)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
            _sync(self.folder)
        for _, old in self._all()[: -self._keep]:
            # Out of sight before it shrinks: a deletion that is cut short leaves no half of a checkpoint behind.
            shutil.rmtree(old.rename(self.folder / f"{_UNFINISHED}{old.name}"))

    def newest(self) -> tuple[int, Path] | None:
        """The newest whole checkpoint, as its step and its folder."""
        found = self._all()
        return found[-1] if found else None

    def _all(self) -> list[tuple[int, Path]]:
        steps = (
            (name.removeprefix(_PREFIX), path)
            for path in self.folder.glob(f"{_PREFIX}*")
            if (name := path.name) and path.is_dir()
        )
        return sorted((int(step), path) for step, path in steps if step.isdecimal())

    def _remove_unfinished(self) -> None:
        for leftover in self.folder.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(leftover)


def _to_disk(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
