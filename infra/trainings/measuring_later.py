"""A run that completed unmeasured is measured: with the base model and the held-out rows that it began with."""

from typing import TYPE_CHECKING

from adapters.evaluation.kept_measures import measured_once
from domain.audit.read_models import Run
from domain.errors import InvalidBaseModel, InvalidDataset
from domain.ports import BaseModel, Dataset
from infra.trainings.evaluations import write_evaluations
from infra.trainings.provenance import provenance_of

if TYPE_CHECKING:
    from infra.wiring import Installation


def measure(tmm: "Installation", run: Run) -> Run:
    """Measure base model and result on this machine, and record it; the run as it stands then.

    Raises `NothingToMeasure`, or `InvalidDataset` or `InvalidBaseModel` where these are not any more what they were.
    """
    from adapters.evaluation import evaluate
    from adapters.exports.model_folder import is_adapter

    tmm.trainings.must_lack_measures(run.run_id)
    assert run.artifact is not None  # it has completed
    request = run.request
    dataset = tmm.datasets.load(request.dataset, seed=request.seed, columns=request.columns)
    base_model = tmm.base_models.open(request.base_model)
    _must_be_the_same(run, dataset, base_model)
    trained, device = tmm.artifacts.fetch(run.artifact), tmm.device(request.backend)
    made_of = provenance_of(dataset, base_model, code_hash="", device=device.description, machine="")
    before = measured_once(
        tmm.settings.measured,
        made_of,
        request.seed,
        lambda: evaluate(base_model.source, None, dataset.held_out, device=device, is_adapter=False, seed=request.seed),
    )
    after = evaluate(
        base_model.source,
        trained,
        dataset.held_out,
        device=device,
        is_adapter=is_adapter(trained),
        seed=request.seed,
    )
    write_evaluations(tmm.run_folder(run.run_id), before, after)
    tmm.trainings.measure(run.run_id, before=before.metrics, after=after.metrics, by=tmm.user())
    return tmm.trainings.one(run.run_id)


def _must_be_the_same(run: Run, dataset: Dataset, base_model: BaseModel) -> None:
    began = run.provenance
    assert began is not None  # it has completed
    if began.held_out_hash != dataset.held_out_hash:
        raise InvalidDataset(
            f"The held-out rows of {run.request.dataset} changed since training run {run.run_id} began, so they would "
            "measure something else. Put the dataset back as it was."
        )
    if began.base_model_hash != base_model.files_hash:
        raise InvalidBaseModel(
            f"The base model {run.request.base_model} changed since training run {run.run_id} began, so it is not what "
            "the run started from. Put its files back as they were."
        )
