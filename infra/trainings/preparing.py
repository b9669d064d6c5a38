"""A training is looked at before it begins: from the command line, and by the worker before it spends time on it."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters import preflight, trainers
from adapters.preflight import Measured
from adapters.shared.training.training_progress import lines_told
from domain.catalogue.method_spec import MethodSpec
from domain.catalogue.trainer_declaration import trainer_of
from domain.ports import BaseModel, Dataset, Device
from domain.runs.run_plan import Counted, RunPlan
from domain.runs.training_run import Provenance, RunRequest, RunStatus
from infra.trainings.provenance import provenance_of

if TYPE_CHECKING:
    from infra.wiring import Installation

MEASURED_FILE = "measured.json"

_EARLIER_RUNS = 50
# Above this size a dataset is read by the worker alone, once.
_READ_TWICE_AT_MOST = 50_000_000


class Preflight:
    """Looks at trainings before they begin, on this installation."""

    def __init__(self, installation: "Installation") -> None:
        self._installation = installation

    def checked(self, request: RunRequest) -> RunRequest:
        """The request as any worker of this machine can read it. Raises `InvalidInput` for what cannot be."""
        return checked(self._installation, request)

    def plan(self, request: RunRequest) -> RunPlan:
        """What a run of this request would do and take. Raises the error that says why it cannot go well."""
        return planned(self._installation, request)

    def made_of(self, request: RunRequest) -> Provenance:
        """What a run of this request would be made of here and now, but for device and machine, which are empty."""
        return made_of(self._installation, request)


def checked(installation: "Installation", request: RunRequest) -> RunRequest:
    """The request as any worker of this machine can read it: local paths made absolute.

    Raises `InvalidInput` for what can already be seen to be impossible.
    """
    located = {
        "dataset": installation.datasets.located(request.dataset),
        "base_model": installation.base_models.located(request.base_model),
    }
    request = RunRequest.parse(request.model_dump() | located)
    must_be_possible(installation, request)
    return request


def made_of(installation: "Installation", request: RunRequest) -> Provenance:
    """What a run of this request would be made of here and now, but for device and machine, which are empty."""
    code = installation.catalogue.method(request.method).spec.code
    return provenance_of(
        installation.datasets.load(request.dataset, seed=request.seed, columns=request.columns),
        installation.base_models.open(request.base_model),
        code_hash=code.hash if code else installation.trainers_code_hash(),
    )


def planned(installation: "Installation", request: RunRequest) -> RunPlan:
    """What a run of this request would do. Raises the error that says why it cannot go well."""
    spec = installation.catalogue.method(request.method).spec
    options = installation.trainings.options_of(request)
    device = installation.device(request.backend)
    dataset = installation.datasets.load(request.dataset, seed=request.seed, columns=request.columns)
    base_model = installation.base_models.open(request.base_model)
    return looked_at(installation, request, spec, options, dataset, base_model, device)


def looked_at(
    installation: "Installation",
    request: RunRequest,
    spec: MethodSpec,
    options: Mapping[str, Any],
    dataset: Dataset,
    base_model: BaseModel,
    device: Device,
) -> RunPlan:
    """The look at a training whose parts are open already."""
    trainer = trainer_of(spec, trainers.declarations())
    _must_have_what_options_name(installation, options, dataset)
    return preflight.look_at(
        request,
        trainer,
        options,
        dataset,
        preflight.facts_of(base_model),
        device=device,
        room=preflight.room_on(device, installation.settings.home),
        measured=_measured(installation, trainer.name, device),
    )


def must_be_possible(installation: "Installation", request: RunRequest) -> None:
    """What can be seen in a moment to be impossible is refused before anything is created."""
    spec = installation.catalogue.method(request.method).spec
    options = installation.trainings.options_of(request)
    if not _is_at_hand(installation.datasets.names(), request.dataset):
        return
    dataset = installation.datasets.load(request.dataset, seed=request.seed, columns=request.columns)
    _must_have_what_options_name(installation, options, dataset)
    if _is_at_hand(installation.base_models.names(), request.base_model):
        facts = preflight.facts_of(installation.base_models.open(request.base_model))
        preflight.must_be_possible(request, trainer_of(spec, trainers.declarations()), options, dataset, facts)


def _is_at_hand(samples: list[str], name: str) -> bool:
    """Whether it lies on this machine and is read in a moment; nothing is downloaded twice."""
    path = Path(name)
    if name in samples:
        return True
    if not path.exists():
        return False
    # Of a base model only the heads of its files are read, but its hash needs all of them.
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) <= _READ_TWICE_AT_MOST


def _must_have_what_options_name(installation: "Installation", options: Mapping[str, Any], dataset: Dataset) -> None:
    if rewards := options.get("rewards"):
        from adapters.trainers.rewards import parse_rewards

        parse_rewards(str(rewards)).must_fit(dataset.rows)
    if reward_model := options.get("reward_model"):
        preflight.must_judge(preflight.facts_of(installation.base_models.open(str(reward_model))))


# What earlier runs measured.


def note_measured(folder: Path, plan: RunPlan, *, since: datetime) -> None:
    """Keep beside a run that comes to its end what was counted before it, and what it took.

    `since` is when this process took it up: what a resumed run did before, and the pause, are not measured.
    """
    told = [at for line in lines_told(folder) if (at := datetime.fromisoformat(line["at"])) >= since]
    if len(told) < 2:
        return
    a_step = (told[-1] - told[0]).total_seconds() / (len(told) - 1)
    measured = Measured(
        counted=plan.counted,
        memory=preflight.peak_memory(plan.device),
        seconds_a_step=a_step,
        seconds_beside=max(0.0, (datetime.now(UTC) - since).total_seconds() - a_step * len(told)),
        parameters=plan.parameters,
    )
    document = {"trainer": plan.trainer, "device": plan.device.description} | asdict(measured)
    (folder / MEASURED_FILE).write_text(json.dumps(document, indent=1), encoding="utf-8")


def _measured(installation: "Installation", trainer: str, device: Device) -> list[Measured]:
    """What the newest completed runs with this trainer took on this device of this machine."""
    found = []
    for run in installation.trainings.all(status=RunStatus.COMPLETED, limit=_EARLIER_RUNS):
        with suppress(OSError, ValueError, KeyError, TypeError):
            said = json.loads((installation.settings.runs / str(run.run_id) / MEASURED_FILE).read_bytes())
            if (said["trainer"], said["device"]) == (trainer, device.description):
                found.append(
                    Measured(
                        counted=Counted(**said["counted"]),
                        memory=said["memory"],
                        seconds_a_step=said["seconds_a_step"],
                        seconds_beside=said["seconds_beside"],
                        parameters=said["parameters"],
                    )
                )
    return found
