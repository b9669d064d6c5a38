"""Checkpoints of a run under way: whole or not there, and only the newest few."""

from collections.abc import Callable
from pathlib import Path


class FolderCheckpoints:
    """Checkpoints as folders `checkpoint-<step>` under one folder."""

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        self.folder = folder
        self._keep = keep

    def save(self, step: int, write: Callable[[Path], None]) -> None:
        raise NotImplementedError

    def newest(self) -> tuple[int, Path] | None:
        raise NotImplementedError
