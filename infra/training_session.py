"""One training from its start to its stored artefact: what the `train` flow's tasks ask for, step by step."""

import platform
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING
from uuid import UUID

from domain.errors import RunAlreadyFinished, TrainingMethodError
from domain.ports import Evaluation, Progress, TrainingJob, TrainingResult
from domain.training_run import Provenance, RunRequest

if TYPE_CHECKING:
    from infra.wiring import Installation

_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "mlx", "mlx-lm", "numpy", "prefect")


class TrainingSession:
    """A run under way in this process.

    A plain class on purpose: Prefect looks into the dataclasses and containers that a task is given, and must not walk
    through a dataset's rows.
    """

    def __init__(self, installation: "Installation", run_id: UUID, request: RunRequest) -> None:
        self._installation = installation
        self._service = installation.service
        self._by = installation.user()
        self._request = request
        self.run_id = run_id
        self._job: TrainingJob | None = None
        self._result: TrainingResult | None = None
        self._before: Evaluation | None = None
        self._after: Evaluation | None = None

    def start(self) -> TrainingJob:
        """Request the run if nobody did, open what it needs, and record the start with its provenance."""
        service, tmm = self._service, self._installation
        service.request_run(self.run_id, self._request, by=self._by)
        declaration = service.declaration_of(self._request.method)
        device = tmm.device(self._request.backend)
        dataset = tmm.datasets.load(self._request.dataset, seed=self._request.seed)
        base_model = tmm.base_models.open(self._request.base_model)
        trainer = tmm.trainer(declaration.name)
        provenance = Provenance(
            base_model_hash=base_model.files_hash,
            dataset_hash=dataset.rows_hash,
            held_out_hash=dataset.held_out_hash,
            code_hash=trainer.code_hash,
            packages=_installed(_PACKAGES),
            python=platform.python_version(),
            device=device.description,
            machine=socket.gethostname(),
        )
        options = service.start_run(self.run_id, provenance, by=self._by)
        folder = tmm.settings.runs / str(self.run_id)
        folder.mkdir(parents=True, exist_ok=True)
        self._job = TrainingJob(
            run_id=self.run_id,
            method=self._request.method,
            trainer=declaration.name,
            backend=self._request.backend,
            base_model=base_model,
            dataset=dataset,
            options=options,
            seed=self._request.seed,
            folder=folder,
            device=device.description,
        )
        return self._job


def _installed(packages: tuple[str, ...]) -> dict[str, str]:
    versions = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions
