"""Datasets: rows that a trainer can take, from samples, files, folders and hubs, checked before they are used."""

from pathlib import Path

from domain.ports import Dataset


class Datasets:
    """Opens datasets: a sample's name, a local file or folder, or a hub id."""

    def __init__(self, samples: Path) -> None:
        self._samples = samples

    def names(self) -> list[str]:
        """The samples there are."""
        raise NotImplementedError

    def located(self, name: str) -> str:
        """The name as any process of this machine can open it: local paths absolute. Raises `InvalidDataset`."""
        raise NotImplementedError

    def load(self, name: str, *, seed: int) -> Dataset:
        """Rows and held-out rows, checked. Raises `InvalidDataset` naming file, row and column."""
        raise NotImplementedError
