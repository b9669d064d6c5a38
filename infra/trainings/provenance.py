"""What a training is made of: hashes of what goes in, and the versions of what trains."""

import platform
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from domain.ports import BaseModel, Dataset
from domain.runs.training_run import Provenance

_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "mlx", "mlx-lm", "numpy", "prefect")


def provenance_of(
    dataset: Dataset, base_model: BaseModel, *, code_hash: str, device: str = "", machine: str = ""
) -> Provenance:
    """The provenance of a training with these, in this process."""
    return Provenance(
        base_model_hash=base_model.files_hash,
        dataset_hash=dataset.rows_hash,
        held_out_hash=dataset.held_out_hash,
        code_hash=code_hash,
        packages=dict(installed_packages()),
        python=platform.python_version(),
        device=device,
        machine=machine,
    )


@cache
def installed_packages() -> Mapping[str, str]:
    """The versions of what trains, as this process has them."""
    versions = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions
