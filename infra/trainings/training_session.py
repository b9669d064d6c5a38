"""One training from its start to its stored artefact: what the `train` flow's tasks ask for, step by step."""

import math
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from eventsourcing.persistence import InterfaceError, OperationalError

from adapters.custom_code.running import CustomTrainer
from adapters.evaluation.kept_measures import measured_once
from adapters.machines.run_process import this_process_runs
from adapters.machines.slots import own_slot
from adapters.run_files import RunStory, weights_hash_of, write_run_files
from adapters.shared.polling import patiently
from adapters.shared.training.training_progress import RunProgress, Watcher, lines_told
from domain.audit.read_models import AuditQuery
from domain.catalogue.options import OptionValue
from domain.errors import (
    BadResult,
    CustomCodeFailed,
    DatabaseUnavailable,
    InvalidDataset,
    MachineMissing,
    RunAlreadyFinished,
    RunNotFound,
    TrainingMethodError,
)
from domain.ports import BaseModel, Dataset, Device, Evaluation
from domain.runs.run_plan import RunPlan
from domain.runs.training_run import Provenance, RunRequest, RunStatus
from domain.training import Trainer, TrainingJob, TrainingResult
from infra.acting_for import Acting, acting
from infra.trainings.evaluations import write_evaluations
from infra.trainings.preparing import looked_at, note_measured
from infra.trainings.provenance import provenance_of
from infra.trainings.several_machines import with_other_machines
from infra.trainings.trained_result import died_measuring, keep_result, kept_result, measuring

if TYPE_CHECKING:
    from infra.wiring import Installation

_NOTHING = Evaluation({}, [])


class TrainingSession:
    """A run under way in this process; its methods are called in the order in which they stand.

    A plain class on purpose: Prefect looks into the dataclasses and containers that a task is given, and must not walk
    through a dataset's rows.
    """

    def __init__(
        self,
        installation: "Installation",
        run_id: UUID,
        request: RunRequest,
        watcher: Watcher,
        *,
        attempt: int,
        asker: Acting,
    ) -> None:
        self._installation = installation
        self._asker = asker
        self._request = request
        self._watcher = watcher
        self._attempt = attempt
        self.run_id = run_id
        self._taken_up = datetime.now(UTC)
        self._device: Device
        self._dataset: Dataset
        self._base_model: BaseModel
        self._options: Mapping[str, OptionValue]
        self._provenance: Provenance
        self._plan: RunPlan
        self._job: TrainingJob
        self._trainer: Trainer
        self._result: TrainingResult
        self._before: Evaluation
        self._after: Evaluation
        self.unmeasured = ""
        """Why the result was not measured; empty where it was."""

    def start(self) -> TrainingJob:
        """Request the run if nobody did, open what it needs, and record the start with its provenance."""
        tmm, request = self._installation, self._request
        self._watcher.phase("opening the base model and the dataset")
        asked = uuid4()
        by, token = self._asker.user, self._asker.token
        run = patiently(lambda: tmm.trainings.request(self.run_id, request, by=by, command_id=asked, token=token))
        resumed = run.interrupted and run.status is RunStatus.FAILED
        if run.status is not RunStatus.REQUESTED and not resumed:
            # A final end stays one, and a process that is gone did not record its end yet.
            raise RunAlreadyFinished(_not_again(self.run_id, run.status))
        self._device = tmm.device(request.backend)
        self._dataset = tmm.datasets.load(request.dataset, seed=request.seed, columns=request.columns)
        self._base_model = tmm.base_models.open(request.base_model)
        provenance = provenance_of(
            self._dataset,
            self._base_model,
            code_hash=tmm.trainers_code_hash(),
            device=self._device.description,
            machine=socket.gethostname(),
        )
        self._provenance = provenance
        self._options = self._resumed(provenance) if resumed else self._started(provenance)
        self._plan = looked_at(
            tmm,
            request,
            patiently(lambda: self._installation.trainings.method_of(self.run_id)),
            self._options,
            self._dataset,
            self._base_model,
            self._device,
        )
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

    def _started(self, provenance: Provenance) -> Mapping[str, OptionValue]:
        command_id = uuid4()
        return patiently(lambda: self._installation.trainings.start(self.run_id, provenance, command_id=command_id))

    def _resumed(self, provenance: Provenance) -> Mapping[str, OptionValue]:
        """Record that an interrupted run goes on as it began, from its newest checkpoint or else from its beginning."""
        began = patiently(lambda: self._installation.trainings.one(self.run_id))
        if began.options is None or began.provenance is None:
            raise RunAlreadyFinished(
                f"Training run {self.run_id} was interrupted before it started, so there is nothing to go on with. "
                f"Repeat it as a new run with: tmm rerun {self.run_id}"
            )
        for what, field in (("dataset", "dataset_hash"), ("base model", "base_model_hash")):
            if getattr(began.provenance, field) != getattr(provenance, field):
                raise InvalidDataset(
                    f"The {what} of training run {self.run_id} changed since it began, so it cannot go on where it "
                    f"stopped. Repeat it as a new run with: tmm rerun {self.run_id}"
                )
        checkpoints = self._installation.checkpoints(self.run_id)
        if (shared := self._installation.shared_checkpoints) is not None:
            shared.bring(self.run_id, self._installation.run_folder(self.run_id), checkpoints)
        newest = checkpoints.newest()
        command_id = uuid4()
        patiently(
            lambda: self._installation.trainings.resume(self.run_id, newest[0] if newest else 0, command_id=command_id)
        )
        return began.options

    @property
    def plan(self) -> RunPlan:
        """What was seen of this training before it began, with warnings for people."""
        return self._plan

    def measure_before(self) -> Mapping[str, float]:
        """The base model on the held-out rows, measured now or for the very same before."""
        if self._request.measure is False:
            self._before = _NOTHING
            return {}
        self._watcher.phase("measuring the base model on the held-out rows")
        self._before = measured_once(
            self._installation.settings.measured, self._provenance, self._request.seed, lambda: self._evaluate(None)
        )
        return self._before.metrics

    def fit(self) -> None:
        """Let the trainer train, unless an earlier attempt of this run did so to its last step."""
        if (result := kept_result(self._job.folder)) is not None:
            self._trainer = patiently(lambda: self._installation.trainer(self.run_id))
            self._result = result
            return
        self._watcher.phase("loading the trainer")
        trainer = self._trainer = patiently(lambda: self._installation.trainer(self.run_id))
        options = trainer.Options.model_validate(self._options)
        progress = RunProgress(self._job.folder, self._watcher, must_go_on=self._must_not_be_cancelled)
        machines = 1 if isinstance(trainer, CustomTrainer) else int(self._options.get("machines", 1))
        shared = self._installation.shared_checkpoints
        copied = shared.kept_up(self.run_id, self._job.folder, self._job.checkpoints) if shared else nullcontext()
        others = with_other_machines(self._installation, self._job, machines, self._watcher, attempt=self._attempt)
        with copied, others as job:
            self._result = trainer.train(job, options, progress)
        keep_result(self._job.folder, self._result)

    def _must_not_be_cancelled(self) -> None:
        """Raise `RunAlreadyFinished` once a cancellation is recorded: whoever should stop this process may be gone."""
        with suppress(DatabaseUnavailable, OperationalError, InterfaceError):  # then nobody knows, and it goes on
            if (status := self._installation.trainings.one(self.run_id).status) is RunStatus.CANCELLED:
                raise RunAlreadyFinished(_not_again(self.run_id, status))

    @property
    def has_trained(self) -> bool:
        """Whether the last step was taken: what goes wrong from here on, goes wrong with what is there already."""
        return hasattr(self, "_result")

    def measure_after(self) -> Mapping[str, float]:
        """The result on the held-out rows, the same way.

        Whatever goes wrong, the trained weights are worth keeping: why they are `unmeasured` is remembered then. Raises
        `BadResult` for a measure that is no number, and `CustomCodeFailed` for a method's own code whose result is no
        model.
        """
        self._after = _NOTHING
        folder = self._job.folder
        if self._request.measure is False:
            self.unmeasured = "It was not to be measured."
        elif died_measuring(folder):
            self.unmeasured = "The process that measured it was ended, perhaps because memory was short."
        if self.unmeasured:
            return {}
        self._watcher.phase("measuring the result on the held-out rows")
        try:
            with measuring(folder):
                after = self._evaluate(self._result)
        except Exception as error:
            if isinstance(self._trainer, CustomTrainer) and not isinstance(error, TrainingMethodError):
                raise self._trainer.not_opened(error) from error
            self.unmeasured = self._installation.shown(f"Measuring it failed: {_told(error)}")
            self._watcher.phase(f"stored without being measured: {self.unmeasured}")
            return {}
        for name, value in after.metrics.items():
            if not math.isfinite(value):
                raise BadResult(f"The measured {name} of the result is {value}. Lower learning_rate.")
        self._after = after
        write_evaluations(folder, self._before, after)
        return after.metrics

    def complete(self) -> str:
        """Store the artefact and record the completion; the artefact's address."""
        self._watcher.phase("storing the artefact")
        write_run_files(self._result.folder, self._story())
        address, artifact_hash = self._installation.artifacts.store(self.run_id, self._result.folder)
        weights_hash = weights_hash_of(self._result.folder)
        note_measured(self._job.folder, self._plan, since=self._taken_up)
        command_id = uuid4()
        patiently(
            lambda: self._installation.trainings.complete(
                self.run_id,
                artifact=address,
                artifact_hash=artifact_hash,
                steps=self._result.steps,
                metrics=self._result.metrics,
                before=self._before.metrics,
                after=self._after.metrics,
                weights_hash=weights_hash,
                measured=not self.unmeasured,
                command_id=command_id,
            )
        )
        before, after = self._before.metrics, self._after.metrics
        told = [f"{name} {before[name]:.3f} → {value:.3f}" for name, value in after.items() if name in before]
        self._watcher.phase(", ".join(["completed", *(["unmeasured"] if self.unmeasured else told)]))
        return address

    def _story(self) -> RunStory:
        """What the artefact tells of this run."""
        return RunStory(
            run=patiently(lambda: self._installation.trainings.one(self.run_id)),
            method=patiently(lambda: self._installation.trainings.method_of(self.run_id)),
            requested=patiently(
                lambda: self._installation.auditing.entries(AuditQuery(run=self.run_id, action="request", limit=1))
            )[0],
            dataset=self._dataset,
            result=self._result,
            before=self._before,
            after=self._after,
            unmeasured=self.unmeasured,
            steps=lines_told(self._job.folder),
        )

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


@contextmanager
def recorded_session(
    installation: "Installation",
    run_id: UUID,
    asked: Mapping[str, Any],
    watcher: Watcher,
    *,
    attempt: int,
    acting_for: str = "",
) -> Iterator[TrainingSession]:
    """The training of a run in this process. Whatever goes wrong inside is the run's recorded end.

    A run that had ended before, or that another process carries, is left as it is. `attempt` counts the processes that
    began to carry it, from 1.
    """
    session: TrainingSession | None = None
    try:
        waits = partial(watcher.phase, "waiting for an earlier training here that outlived its worker")
        with (
            this_process_runs(installation.run_folder(run_id), attempt),
            own_slot(installation.settings.slots_folder, waiting=waits),
        ):
            asker = _asker(installation, run_id, asked, acting_for)  # who may is told before what is wrong with it
            request = RunRequest.parse(asked)
            session = TrainingSession(installation, run_id, request, watcher, attempt=attempt, asker=asker)
            yield session
    except RunAlreadyFinished:
        raise
    except Exception as error:
        reason = installation.shown(_told(error))
        command_id = uuid4()
        # What was trained is there, so that whatever could not be done with it can be done when the run goes on.
        judged = isinstance(error, BadResult | CustomCodeFailed)
        trained = session is not None and session.has_trained and not judged
        interrupted = isinstance(error, MachineMissing) or trained
        watcher.phase(f"{'interrupted' if interrupted else 'failed'}: {reason}")
        with suppress(RunNotFound, RunAlreadyFinished):
            patiently(
                lambda: installation.trainings.fail(run_id, reason, interrupted=interrupted, command_id=command_id)
            )
        _let_go_of_copies(installation)
        raise
    _let_go_of_copies(installation)


def _let_go_of_copies(installation: "Installation") -> None:
    """Of the checkpoints of runs that nobody will resume; those of a run that was cancelled go with the next one's."""

    def has_ended(run_id: UUID) -> bool:
        with suppress(RunNotFound):
            run = installation.trainings.one(run_id)
            return run.finished_at is not None and not run.interrupted
        return False

    if (shared := installation.shared_checkpoints) is not None:
        shared.clear(has_ended)


def _asker(installation: "Installation", run_id: UUID, asked: Mapping[str, Any], acting_for: str) -> Acting:
    """Who asks for the run; of one that was requested before, that is recorded already, whatever has expired since."""
    with suppress(RunNotFound):
        patiently(lambda: installation.trainings.one(run_id))
        return Acting(installation.user())
    return patiently(lambda: acting(installation, acting_for, action="train", given=asked))


def _not_again(run_id: UUID, status: RunStatus) -> str:
    if status is RunStatus.RUNNING:
        return (
            f"Training run {run_id} was started before and did not come to its end; "
            f"start a new one with: tmm rerun {run_id}"
        )
    ended = "been cancelled" if status is RunStatus.CANCELLED else status.value
    return f"Training run {run_id} has {ended}, and stays so. Repeat it as a new run with: tmm rerun {run_id}"


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, TrainingMethodError) else f"{type(error).__name__}: {error}"
