"""Base models: a sample's name, a local folder, or a hub id."""

from pathlib import Path

from domain.ports import BaseModel


class BaseModels:
    """Opens base models."""

    def __init__(self, samples: Path) -> None:
        self._samples = samples

    def names(self) -> list[str]:
        """The samples there are."""
        raise NotImplementedError

    def located(self, name: str) -> str:
        """The name as any process of this machine can open it: local paths absolute. Raises `InvalidBaseModel`."""
        raise NotImplementedError

    def open(self, name: str) -> BaseModel:
        """The model's source and the hash of its files. Raises `InvalidBaseModel`."""
        raise NotImplementedError
