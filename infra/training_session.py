"""One training from its start to its stored artefact: what the `train` flow's tasks ask for, step by step."""

import platform
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING
from uuid import UUID

from domain.errors import RunAlreadyFinished, RunNotFound, TrainingMethodError
from domain.options import OptionValue
from domain.ports import BaseModel, Dataset, Device, Evaluation
from domain.training import Progress, TrainingJob, TrainingResult
from domain.training_run import Provenance, RunRequest

if TYPE_CHECKING:
    from infra.wiring import Installation

_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "mlx", "mlx-lm", "numpy", "prefect")


class TrainingSession:
    """A run under way in this process; its methods are called in the order in which they stand.

    A plain class on purpose: Prefect looks into the dataclasses and containers that a task is given, and must not walk
    through a dataset's rows.
    """

    def __init__(self, installation: "Installation", run_id: UUID, request: RunRequest) -> None:
        self._installation = installation
        self._service = installation.service
        self._by = installation.user()
        self._request = request
        self.run_id = run_id
        self._device: Device
        self._dataset: Dataset
        self._base_model: BaseModel
        self._options: Mapping[str, OptionValue]
        self._job: TrainingJob
        self._result: TrainingResult
        self._before: Evaluation
        self._after: Evaluation

    @contextmanager
    def failure_recorded(self) -> Iterator[None]:
        """Whatever goes wrong inside is the run's recorded end. A cancellation is recorded by its own hook."""
        try:
            yield
        except Exception as error:
            ours = isinstance(error, TrainingMethodError)
            reason = str(error) if ours else f"{type(error).__name__}: {error}"
            with suppress(RunNotFound, RunAlreadyFinished):
                self._service.fail_run(self.run_id, reason, by=self._by)
            raise

    def start(self) -> TrainingJob:
        """Request the run if nobody did, open what it needs, and record the start with its provenance."""
        service, tmm, request = self._service, self._installation, self._request
        service.request_run(self.run_id, request, by=self._by)
        self._device = tmm.device(request.backend)
        self._dataset = tmm.datasets.load(request.dataset, seed=request.seed)
        self._base_model = tmm.base_models.open(request.base_model)
        provenance = Provenance(
            base_model_hash=self._base_model.files_hash,
            dataset_hash=self._dataset.rows_hash,
            held_out_hash=self._dataset.held_out_hash,
            code_hash=tmm.trainers_code_hash(),
            packages=_installed(_PACKAGES),
            python=platform.python_version(),
            device=self._device.description,
            machine=socket.gethostname(),
        )
        self._options = service.start_run(self.run_id, provenance, by=self._by)
        self._job = TrainingJob(
            run_id=self.run_id,
            method=request.method,
            backend=request.backend,
            device=self._device.name,
            base_model=self._base_model.source,
            rows=self._dataset.rows,
            held_out=self._dataset.held_out,
            seed=request.seed,
            folder=tmm.run_folder(self.run_id),
            checkpoints=tmm.checkpoints(self.run_id),
        )
        return self._job

    def measure_before(self) -> Mapping[str, float]:
        """The base model on the held-out rows."""
        self._before = self._evaluate(None)
        return self._before.metrics

    def fit(self, progress: Progress) -> None:
        """Let the trainer train."""
        trainer = self._installation.trainer(self._request.method)
        self._result = trainer.train(self._job, trainer.Options.model_validate(self._options), progress)

    def measure_after(self) -> Mapping[str, float]:
        """The result on the held-out rows, the same way."""
        self._after = self._evaluate(self._result)
        return self._after.metrics

    def complete(self) -> str:
        """Store the artefact and record the completion; the artefact's address."""
        address, artifact_hash = self._installation.artifacts.store(self.run_id, self._result.folder)
        self._service.complete_run(
            self.run_id,
            artifact=address,
            artifact_hash=artifact_hash,
            steps=self._result.steps,
            metrics=self._result.metrics,
            before=self._before.metrics,
            after=self._after.metrics,
            by=self._by,
        )
        return address

    def _evaluate(self, result: TrainingResult | None) -> Evaluation:
        from adapters.evaluation import evaluate

        return evaluate(
            self._base_model.source,
            result.folder if result else None,
            self._dataset.held_out,
            device=self._device,
            is_adapter=result.is_adapter if result else False,
            seed=self._request.seed,
        )


def _installed(packages: tuple[str, ...]) -> dict[str, str]:
    versions = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions
