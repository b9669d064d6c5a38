"""Where trained models are kept: a folder, or anything that fsspec reaches."""

from pathlib import Path
from uuid import UUID


class Artifacts:
    """Keeps what trainings made under one URL or folder."""

    def __init__(self, root: str) -> None:
        self._root = root

    def store(self, run_id: UUID, folder: Path) -> tuple[str, str]:
        """Keep a copy of the folder, whole or not at all; its address and the sha256 of its files."""
        raise NotImplementedError

    def fetch(self, address: str) -> Path:
        """The artefact as a local folder."""
        raise NotImplementedError
