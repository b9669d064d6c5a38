"""What methods' own code is tried with on this machine: sample data, the small base model, a device, our trainers."""

from adapters import trainers
from adapters.datasets import Datasets
from adapters.machines.devices import device_for
from adapters.models import BaseModels
from domain.catalogue.method_spec import Backend
from domain.ports import Dataset, Device


class TriedWith:
    """What the check of training code needs of the other adapters."""

    opening = "adapters.evaluation"

    def __init__(self, datasets: Datasets, base_models: BaseModels) -> None:
        self._datasets = datasets
        self._base_models = base_models

    def sample(self, dataset: str) -> Dataset:
        """A dataset by its name or path. Raises `InvalidDataset`."""
        return self._datasets.load(self._datasets.located(dataset), seed=0)

    def small_base(self) -> str:
        """Where the small base model lies."""
        return self._base_models.open("small-base").source

    def device(self, backend: Backend) -> Device:
        """What trains here. Raises `BackendUnavailable`."""
        return device_for(backend)

    def built_in(self, trainer: str) -> str:
        """The module of a trainer that comes with the service. Raises `InvalidMethod`."""
        return trainers.module_of(trainer)
