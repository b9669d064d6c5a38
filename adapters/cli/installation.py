"""What the commands need of the installation around them. `infra.wiring` builds the real one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from domain.audit.auditing import Auditing
from domain.audit.read_models import Run
from domain.catalogue.catalogue import Catalogue
from domain.catalogue.method_spec import Backend
from domain.errors import TrainingMethodError
from domain.people.users import User
from domain.ports import Asked, ExportedModel, Progressed, WorkPool
from domain.runs.flow_runs import Queue
from domain.runs.run_plan import RunPlan
from domain.runs.training_run import Provenance, RunRequest
from domain.runs.training_runs import TrainingRuns
from domain.use_cases.act import Do


class Settings(Protocol):
    """The settings that commands show or use."""

    @property
    def home(self) -> Path: ...
    @property
    def backends(self) -> tuple[Backend, ...]: ...
    @property
    def licences(self) -> Path: ...
    @property
    def trust_store(self) -> Path: ...


class Runs(Protocol):
    """Training runs as Prefect carries them. Every method raises `PrefectUnavailable` when no server answers."""

    def create(self, request: RunRequest, *, queue: Queue, idempotency_key: str | None = None) -> UUID:
        """A flow run that waits to be released; its id is the training run's id. Raises `BackendUnavailable`."""
        ...

    def release(self, run_id: UUID) -> None:
        """Let a worker take it."""
        ...

    def take_again(self, run_id: UUID) -> None:
        """Let a worker take an ended run once more, with the same id. Raises `RunNotFound`."""
        ...

    def cancel(self, run_id: UUID, reason: str) -> None: ...

    def progress(self, run_id: UUID) -> Progressed | None: ...

    def state(self, run_id: UUID) -> str:
        """Prefect's word for where the flow run stands: Pending, Scheduled, Running, Completed, Failed, …"""
        ...

    def address(self, run_id: UUID) -> str:
        """Where a person sees the run in the Prefect UI."""
        ...


class Pools(Protocol):
    """The work pools of the backends. Every method raises `PrefectUnavailable` when no server answers."""

    def all(self) -> Sequence[WorkPool]: ...

    def is_paused(self, backend: Backend, queue: str | None = None) -> bool:
        """Whether nothing is taken from a pool, or from one of its queues, at present."""
        ...

    def pause(self, backend: Backend, queue: str | None = None, *, paused: bool = True) -> None:
        """Let no further run be taken from a pool, or one of its queues; or let them be again. Raises `NotFound`."""
        ...


class Installation(Protocol):
    """Everything is made when it is first asked for, so that a command pays only for what it uses."""

    @property
    def settings(self) -> Settings: ...

    @property
    def do(self) -> Do: ...

    @property
    def catalogue(self) -> Catalogue: ...

    @property
    def trainings(self) -> TrainingRuns: ...

    @property
    def auditing(self) -> Auditing: ...

    @property
    def flow_runs(self) -> Runs: ...

    @property
    def pools(self) -> Pools: ...

    def user(self) -> User:
        """The acting user: the operating-system user with the entitlement that the installed licences give."""
        ...

    def checked(self, request: RunRequest) -> RunRequest:
        """The request as any worker can read it: local paths made absolute.

        Raises `InvalidDataset` or `InvalidBaseModel` for what can already be seen to be wrong here, before anything
        is created.
        """
        ...

    def plan(self, request: RunRequest) -> RunPlan:
        """What a run of this request would do and take. Raises the error that says why it cannot go well."""
        ...

    def note_waiting(self, run_id: UUID) -> None:
        """Record the request of a run that waits in Prefect, if it is one of ours that nobody has recorded yet.

        Raises `PrefectUnavailable`.
        """
        ...

    def end_process(self, run_id: UUID) -> bool:
        """End the process that carries a run on this machine; False where there is none."""
        ...

    def made_of(self, request: RunRequest) -> Provenance:
        """What a run of this request would be made of here and now, but for device and machine, which are empty."""
        ...

    def steps_of(self, run: Run) -> Sequence[Mapping[str, float]]:
        """`step` and the metrics of every step that a run has reported; none where nothing is kept any more."""
        ...

    def answers_of(self, run: Run) -> Sequence[Mapping[str, Any]]:
        """Sample answers of a run: `prompt`, `expected`, and `said` and `right`, each `before` and `after`."""
        ...

    def export(self, run: Run, out: Path) -> ExportedModel:
        """Write the model of a completed run to a new folder. Raises `InvalidInput` where that cannot be."""
        ...

    def ask(self, run: Run, questions: Sequence[str], *, longest: int, temperature: float, seed: int) -> Asked:
        """What the base model and the result of a completed run say to the questions."""
        ...

    def measure(self, run: Run) -> Run:
        """Measure a run that completed unmeasured, here and now. Raises `NothingToMeasure`."""
        ...

    def explain(self, error: Exception) -> TrainingMethodError | None:
        """An outside thing's error (of a database, of Prefect) in our words, or None if it is none of theirs."""
        ...

    def shown(self, text: str) -> str:
        """A text as it may be shown: without the secrets of the installation's addresses."""
        ...

    def close(self) -> None:
        """Let go of what was opened."""
        ...

    def update_prefect(self) -> str | None:
        """Let the Prefect catalogue follow a change. What to tell the person when it cannot follow now, or None."""
        ...
