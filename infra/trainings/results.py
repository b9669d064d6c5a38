"""What is kept of runs, wherever it lies: in their artefact, or before there is one in their folder on this machine."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.shared.training.training_progress import METRICS_FILE, numbers_of, steps_in, steps_told
from domain.audit.read_models import Run
from domain.catalogue.method_spec import MethodType
from domain.errors import InvalidRunRequest
from domain.ports import Answer, Asked, BaseModel, ExportedModel
from domain.runs.training_run import RunStatus
from infra.trainings.evaluations import evaluations_of

if TYPE_CHECKING:
    from infra.wiring import Installation


def steps_of(installation: "Installation", run: Run) -> list[dict[str, float]]:
    """`step` and the metrics of every step that a run has reported; none where nothing is kept any more."""
    if run.artifact is not None and (kept := installation.artifacts.read(run.artifact, METRICS_FILE)) is not None:
        return [numbers_of(told) for told in steps_in(kept)]
    return steps_told(installation.settings.runs / str(run.run_id))


def answers_of(installation: "Installation", run: Run) -> list[dict[str, Any]]:
    """The sample answers that were given before and after a completed run."""
    if run.artifact is None or (kept := installation.artifacts.read(run.artifact, "answers.json")) is None:
        return []
    answers: list[dict[str, Any]] = json.loads(kept)
    return answers or _measured_later(installation.settings.runs / str(run.run_id))


def _measured_later(folder: Path) -> list[dict[str, Any]]:
    """The answers of a run that was measured after its artefact was stored, where this machine has them."""
    from adapters.run_files import side_by_side

    if (measured := evaluations_of(folder)) is None:
        return []
    before, after = ([Answer(**said) for said in measured[when]["answers"]] for when in ("before", "after"))
    return side_by_side(before, after)


def export(installation: "Installation", run: Run, out: Path) -> ExportedModel:
    """Write the model of a completed run, with what explains it, as one folder that other programs open."""
    from adapters.exports import model_folder as exports
    from adapters.run_files import explain_export, weights_hash_of

    trained = _trained(installation, run)
    base_model, warning = _base_model(installation, run)
    merged = exports.is_adapter(trained)
    exports.export(trained, base_model, out, backend=run.request.backend)
    if merged:
        explain_export(trained, out)
    return ExportedModel(folder=out, merged=merged, weights_hash=weights_hash_of(out), warning=warning)


def ask(
    installation: "Installation", run: Run, questions: Sequence[str], *, longest: int, temperature: float, seed: int
) -> Asked:
    """Let the base model and the result of a completed run answer, on the backend that the run had."""
    from adapters.evaluation import opened
    from adapters.exports.model_folder import is_adapter

    if installation.trainings.method_of(run.run_id).method_type is MethodType.REWARD:
        raise InvalidRunRequest(f"Training run {run.run_id} made a reward model, which judges answers and gives none.")
    trained = _trained(installation, run)
    base_model, warning = _base_model(installation, run)
    device = installation.device(run.request.backend)
    prompts = [_prompt(question, trained) for question in questions]
    said = []
    for result in (None, trained):
        with opened(base_model.source, result, device=device, is_adapter=is_adapter(trained)) as model:
            said.append(model.say(prompts, longest=longest, seed=seed, temperature=temperature))
    return Asked(base=said[0], result=said[1], warning=warning)


def _prompt(question: str, trained: Path) -> str | list[Mapping[str, Any]]:
    """The question in the form of the rows that were trained on: a conversation, or plain text."""
    dataset = json.loads((trained / "run.json").read_bytes())["dataset"]
    return [{"role": "user", "content": question}] if dataset["conversations"] else question


def _trained(installation: "Installation", run: Run) -> Path:
    if run.artifact is None:
        stands = "has not ended yet" if run.finished_at is None else f"has {_ended(run.status)}"
        raise InvalidRunRequest(f"Training run {run.run_id} {stands}, so there is no model of it.")
    return installation.artifacts.fetch(run.artifact)


def _ended(status: RunStatus) -> str:
    return "been cancelled" if status is RunStatus.CANCELLED else status.value


def _base_model(installation: "Installation", run: Run) -> tuple[BaseModel, str | None]:
    """The base model as it is now, and a warning if it is not the one that the run began with."""
    base_model = installation.base_models.open(run.request.base_model)
    if run.provenance is None or base_model.files_hash == run.provenance.base_model_hash:
        return base_model, None
    return base_model, (
        f"The base model {base_model.name} has changed since the run: what you get is not what was measured then."
    )
