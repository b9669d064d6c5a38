"""What can be done with the models that runs made: opened beside their base model, on the backend that the run had."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters.artifacts.artifact_store import Artifacts
from adapters.datasets import Datasets
from adapters.evaluation.kept_measures import measured_once
from adapters.machines.devices import device_for
from adapters.models import BaseModels
from domain.audit.read_models import Run
from domain.catalogue.method_spec import MethodSpec, MethodType
from domain.errors import InvalidBaseModel, InvalidDataset, InvalidRunRequest
from domain.ports import Asked, BaseModel, Dataset, Evaluation, ExportedModel
from domain.runs.training_run import RunStatus
from infra.settings import Settings
from infra.trainings.evaluations import write_evaluations
from infra.trainings.provenance import provenance_of


class ModelsOfRuns:
    """The models of completed runs. `method_of` is the method of a run as it was when the run started."""

    def __init__(
        self,
        settings: Settings,
        artifacts: Artifacts,
        base_models: BaseModels,
        datasets: Datasets,
        *,
        method_of: Callable[[Run], MethodSpec],
    ) -> None:
        self._settings = settings
        self._artifacts = artifacts
        self._base_models = base_models
        self._datasets = datasets
        self._method_of = method_of

    def folder_of(self, run: Run) -> Path:
        """The run's artefact on this machine. Raises `InvalidRunRequest` for a run that has none."""
        if run.artifact is None:
            stands = "has not ended yet" if run.finished_at is None else f"has {_ended(run.status)}"
            raise InvalidRunRequest(f"Training run {run.run_id} {stands}, so there is no model of it.")
        return self._artifacts.fetch(run.artifact)

    def export(self, run: Run, out: Path) -> ExportedModel:
        """Write the model, with what explains it, as one folder that other programs open."""
        from adapters.exports import model_folder as exports
        from adapters.run_files import explain_export, weights_hash_of

        trained = self.folder_of(run)
        base_model, warning = self._base_model(run)
        merged = exports.is_adapter(trained)
        exports.export(trained, base_model, out, backend=run.request.backend)
        if merged:
            explain_export(trained, out)
        return ExportedModel(folder=out, merged=merged, weights_hash=weights_hash_of(out), warning=warning)

    def ask(self, run: Run, questions: Sequence[str], *, longest: int, temperature: float, seed: int) -> Asked:
        """Let the base model and the result answer."""
        from adapters.evaluation import opened
        from adapters.exports.model_folder import is_adapter

        if self._method_of(run).method_type is MethodType.REWARD:
            raise InvalidRunRequest(
                f"Training run {run.run_id} made a reward model, which judges answers and gives none."
            )
        trained = self.folder_of(run)
        base_model, warning = self._base_model(run)
        device = device_for(run.request.backend)
        prompts = [_prompt(question, trained) for question in questions]
        said = []
        for result in (None, trained):
            with opened(base_model.source, result, device=device, is_adapter=is_adapter(trained)) as model:
                said.append(model.say(prompts, longest=longest, seed=seed, temperature=temperature))
        return Asked(base=said[0], result=said[1], warning=warning)

    def measured(self, run: Run) -> tuple[Evaluation, Evaluation]:
        """Base model and result on the held-out rows that the run began with; kept in its folder here.

        Raises `InvalidDataset` or `InvalidBaseModel` where these are not any more what they were.
        """
        from adapters.evaluation import evaluate
        from adapters.exports.model_folder import is_adapter

        request, trained = run.request, self.folder_of(run)
        dataset = self._datasets.load(request.dataset, seed=request.seed, columns=request.columns)
        base_model = self._base_models.open(request.base_model)
        _must_be_the_same(run, dataset, base_model)
        device = device_for(request.backend)

        def evaluated(result: Path | None, *, adapter: bool) -> Evaluation:
            rows = dataset.held_out
            return evaluate(base_model.source, result, rows, device=device, is_adapter=adapter, seed=request.seed)

        made_of = provenance_of(dataset, base_model, code_hash="", device=device.description, machine="")
        before = measured_once(self._settings.measured, made_of, request.seed, lambda: evaluated(None, adapter=False))
        after = evaluated(trained, adapter=is_adapter(trained))
        folder = self._settings.runs / str(run.run_id)
        folder.mkdir(parents=True, exist_ok=True)
        write_evaluations(folder, before, after)
        return before, after

    def _base_model(self, run: Run) -> tuple[BaseModel, str | None]:
        """The base model as it is now, and a warning if it is not the one that the run began with."""
        base_model = self._base_models.open(run.request.base_model)
        if run.provenance is None or base_model.files_hash == run.provenance.base_model_hash:
            return base_model, None
        return base_model, (
            f"The base model {base_model.name} has changed since the run: what you get is not what was measured then."
        )


def _prompt(question: str, trained: Path) -> str | list[Mapping[str, Any]]:
    """The question in the form of the rows that were trained on: a conversation, or plain text."""
    dataset = json.loads((trained / "run.json").read_bytes())["dataset"]
    return [{"role": "user", "content": question}] if dataset["conversations"] else question


def _ended(status: RunStatus) -> str:
    return "been cancelled" if status is RunStatus.CANCELLED else status.value


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
