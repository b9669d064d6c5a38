"""One training on several machines: the first one asks for the others through Prefect, and they compute their share.

All of them have the same base models and datasets, the same code, and the same artifact store, through which the
others get the checkpoint that a resumed run goes on from. They reach one another in the network in which the first one
reaches Prefect.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from adapters import trainers
from adapters.machines.slots import own_slot
from adapters.shared.polling import patiently
from adapters.shared.training.training_progress import Watcher
from adapters.trainers.torch.distributed import processes as several_processes
from domain.errors import InvalidInput, MachineMissing, PrefectUnavailable
from domain.runs.flow_runs import Carried, CarriedAs
from domain.training import Meeting, TrainingJob
from infra.serving.prefect_environment import api_url_or_refuse

if TYPE_CHECKING:
    from infra.wiring import Installation

_ALL_THERE_WITHIN_S = 600.0
_ENDS_WITHIN_S = 5.0
_GONE_WITHIN_S = 20.0
_LOOK_EVERY_S = 0.5
_LOOK_AT_WORK_EVERY_S = 5.0


@contextmanager
def with_other_machines(
    tmm: "Installation", job: TrainingJob, machines: int, watcher: Watcher, *, attempt: int
) -> Iterator[TrainingJob]:
    """The job as the machine that leads has it; the others are there, and go when the `with` ends.

    `attempt` is that of the leading process. Raises `MachineMissing` when not all of them come, in words for people.
    """
    if machines == 1:
        yield job
        return
    host = urlsplit(api_url_or_refuse(tmm.settings)).hostname or "127.0.0.1"
    others = _Others(tmm)
    address, port = several_processes.address_towards(host), several_processes.free_port()
    with _checkpoint_for_others(tmm, job) as (step, checkpoint):
        try:
            for machine in range(1, machines):
                share = {
                    "run_id": str(job.run_id),
                    "attempt": attempt,
                    "machine": machine,
                    "machines": machines,
                    "address": address,
                    "port": port,
                    "checkpoint": checkpoint,
                    "step": step,
                }
                others.asked.append(tmm.flow_runs.ask_for_a_machine(job.backend, share))
            others.come(watcher)
            yield replace(job, meeting=Meeting(address, port, machines, machine=0, all_are_there=others.are_there))
        finally:
            with suppress(PrefectUnavailable):  # they end all the same, and the training is not to fail for it
                others.go()


@contextmanager
def _checkpoint_for_others(tmm: "Installation", job: TrainingJob) -> Iterator[tuple[int, str]]:
    """The step and the address of the checkpoint to go on from; 0 and nothing where a run begins."""
    if (newest := job.checkpoints.newest()) is None:
        yield 0, ""
        return
    step, folder = newest
    address, _ = tmm.artifacts.store(uuid4(), folder)
    try:
        yield step, address
    finally:
        with suppress(OSError):  # what is left there does no harm
            tmm.artifacts.discard(address)


@dataclass
class _Others:
    """The machines that were asked to take part, by the flow runs in which they do."""

    tmm: "Installation"
    asked: list[UUID] = field(default_factory=list)
    _looked_at: float = 0.0

    def come(self, watcher: Watcher) -> None:
        """Return when all are at work."""
        patience, there = time.monotonic() + _ALL_THERE_WITHIN_S, -1
        while True:
            with suppress(PrefectUnavailable):
                found, told = self._shown("Another machine could not take part."), there
                if (there := sum(each.as_ is CarriedAs.RUNNING for each in found)) == len(self.asked):
                    return
                if there != told:
                    watcher.phase(f"waiting for other machines: {there} of {len(self.asked)} are there")
            if time.monotonic() > patience:
                raise MachineMissing(
                    f"{max(there, 0)} of {len(self.asked)} other machines took part within "
                    f"{_ALL_THERE_WITHIN_S / 60:.0f} minutes. Start a worker on each, see that no other training keeps "
                    "it, or lower option 'machines'."
                )
            time.sleep(_LOOK_EVERY_S)

    def are_there(self) -> None:
        """Look now and then whether one has left. Raises `MachineMissing` in its words."""
        if time.monotonic() - self._looked_at > _LOOK_AT_WORK_EVERY_S:
            self._looked_at = time.monotonic()
            with suppress(PrefectUnavailable):
                self._shown("Another machine that took part has left.")

    def _shown(self, missing: str) -> list[Carried]:
        found = list(self.tmm.flow_run_states.carried(self.asked).values())
        for each in found:
            if each.as_.final and each.as_ is not CarriedAs.COMPLETED:
                raise MachineMissing(f"{missing} {each.message}")
        return found

    def go(self) -> None:
        """See the others end, as they do by themselves when the training has; else they are told to."""
        began = time.monotonic()
        while left := [each for each in self.tmm.flow_run_states.carried(self.asked).values() if not each.as_.final]:
            waited = time.monotonic() - began
            for each in left:
                if each.as_ in (CarriedAs.SCHEDULED, CarriedAs.PENDING) or waited > _ENDS_WITHIN_S:
                    self.tmm.flow_runs.cancel(each.run_id, "The training that it took part in has ended.")
                if waited > _GONE_WITHIN_S:
                    gone = "Nothing was heard of it when its training ended."
                    self.tmm.flow_run_states.end(each.run_id, CarriedAs.CRASHED, gone)
            time.sleep(_LOOK_EVERY_S)


@dataclass(frozen=True)
class _Brought:
    """The checkpoint that was brought from the machine that leads, which keeps all further ones."""

    at: tuple[int, Path] | None

    def newest(self) -> tuple[int, Path] | None:
        return self.at

    def save(self, step: int, write: Callable[[Path], None]) -> None:
        raise NotImplementedError


def take_part(
    tmm: "Installation", run_id: UUID, meeting: Meeting, checkpoint: str, step: int, *, attempt: int, watcher: Watcher
) -> None:
    """Compute this machine's share of a training that a process of another one leads, in this attempt.

    Raises `InvalidInput` when something here is not what the run began with, `Unreachable` when the training ends
    before it is done.
    """
    run = patiently(lambda: tmm.trainings.one(run_id))
    request, began = run.request, run.provenance
    if began is None or run.options is None or not _goes_on(tmm, run_id, attempt):
        raise InvalidInput(f"Training run {run_id} does not go on any more as it did when this machine was asked.")
    dataset = tmm.datasets.load(request.dataset, seed=request.seed, columns=request.columns)
    base_model = tmm.base_models.open(request.base_model)
    for what, here, there in (
        ("dataset", dataset.rows_hash, began.dataset_hash),
        ("base model", base_model.files_hash, began.base_model_hash),
        ("trainers' code", tmm.trainers_code_hash(), began.code_hash),
    ):
        if here != there:
            raise InvalidInput(f"The {what} on this machine is not what {began.machine} has, which leads the training.")
    trainer = patiently(lambda: tmm.trainings.method_of(run_id)).trainer
    options = trainers.load(trainer).Options.model_validate(run.options)
    module, goes_on = trainers.module_of(trainer), partial(_goes_on, tmm, run_id, attempt)
    job = TrainingJob(
        run_id=run_id,
        method=request.method,
        backend=request.backend,
        device=tmm.device(request.backend).name,
        base_model=base_model.source,
        rows=dataset.rows,
        held_out=[],
        seed=request.seed,
        folder=tmm.run_folder(run_id) / f"machine-{meeting.machine + 1}",
        checkpoints=_Brought((step, tmm.artifacts.fetch(checkpoint)) if checkpoint else None),
        meeting=meeting,
    )
    try:
        waits = partial(watcher.phase, "waiting for an earlier training here that outlived its worker")
        with own_slot(tmm.settings.slots_folder, waiting=waits):
            watcher.phase(f"computing a share of {run_id}")
            several_processes.take_part(module, job, options, goes_on=goes_on)
    finally:
        shutil.rmtree(job.folder, ignore_errors=True)
        if "://" in checkpoint and (copy := job.checkpoints.newest()) is not None:
            shutil.rmtree(copy[1], ignore_errors=True)


def _goes_on(tmm: "Installation", run_id: UUID, attempt: int) -> bool:
    with suppress(PrefectUnavailable):  # for as long as it is away, nothing else is known
        shown = tmm.flow_run_states.carried([run_id]).get(run_id)
        return shown is not None and shown.as_ is CarriedAs.RUNNING and shown.attempt == attempt
    return True
