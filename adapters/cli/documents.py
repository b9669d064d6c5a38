"""The JSON documents that scripts rely on; their fields are part of the command line's contract."""

from typing import Any

from domain.audit.read_models import AuditEntry, Run, SelectableMethod
from domain.runs.comparison import Comparison, Difference
from domain.secrets import shown_address


def method_document(method: SelectableMethod) -> dict[str, Any]:
    """A method in `tmm list --json`."""
    spec = method.spec
    return {
        "internal_name": spec.internal_name,
        "display_name": spec.display_name,
        "method_type": spec.method_type.value,
        "description": spec.description,
        "trainer": spec.trainer,
        "backends": [backend.value for backend in spec.backends],
        "configuration_options": [
            option.model_dump(mode="json", exclude_none=True) for option in spec.configuration_options
        ],
        "preinstalled": method.preinstalled,
        "version": method.version,
    }


def run_document(run: Run) -> dict[str, Any]:
    """A run in `tmm runs show --json` and `tmm train --json`. `options` are after defaults once the run started."""
    return {
        "run_id": str(run.run_id),
        "status": run.status.value,
        "method": run.request.method,
        "method_version": run.method_version,
        "backend": run.request.backend.value,
        "device": run.provenance.device if run.provenance else None,
        "base_model": run.request.base_model,
        "dataset": run.request.dataset,
        "options": run.options if run.options is not None else run.request.options,
        "seed": run.request.seed,
        "artifact": run.artifact and shown_address(run.artifact),
        "metrics": run.metrics,
        "before": run.before,
        "after": run.after,
        "measured": run.measured,
        "duration_s": run.duration_s,
        "reason": run.reason,
        "resumable": run.resumable,
        "output_name": run.request.output_name,
        "columns": run.request.columns,
        "requested_by": run.requested_by,
        "requested_at": run.requested_at.isoformat(),
        "started_at": run.started_at.isoformat() if run.started_at else None,
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "steps": run.steps,
        "provenance": run.provenance.model_dump(mode="json") if run.provenance else None,
        "artifact_hash": run.artifact_hash,
        "weights_hash": run.weights_hash,
    }


def comparison_document(one: Run, other: Run, found: Comparison) -> dict[str, Any]:
    """`tmm runs compare --json`. `one` and `other` everywhere belong to the first and the second run named."""
    return {
        "runs": [run_document(one), run_document(other)],
        "made_of": [_difference(difference) for difference in found.making],
        "options": [_difference(difference) for difference in found.options],
        "measures": [
            {
                "name": measure.name,
                "one": {"before": measure.one[0], "after": measure.one[1]},
                "other": {"before": measure.other[0], "after": measure.other[1]},
            }
            for measure in found.measures
        ],
        "agreement": agreement_document(found),
    }


def agreement_document(found: Comparison) -> dict[str, Any]:
    """Whether two runs are the same training: `curves` is same, within rounding, different or unknown."""
    return {"curves": found.curves.verdict.value, "words": found.curves.words, "same_weights": found.same_weights}


def _difference(difference: Difference) -> dict[str, Any]:
    return {"name": difference.name, "one": difference.one, "other": difference.other}


def entry_document(entry: AuditEntry) -> dict[str, Any]:
    """An entry in `tmm audit --format jsonl`."""
    return entry.document()
