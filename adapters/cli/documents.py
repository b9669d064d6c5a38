"""The JSON documents that scripts rely on; their fields are part of the command line's contract."""

from typing import Any

from domain.read_models import AuditEntry, Run, SelectableMethod


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
        "artifact": run.artifact,
        "metrics": run.metrics,
        "before": run.before,
        "after": run.after,
        "duration_s": run.duration_s,
        "reason": run.reason,
    }


def entry_document(entry: AuditEntry) -> dict[str, Any]:
    """An entry in `tmm audit --format jsonl`."""
    return {
        "position": entry.position,
        "occurred_at": entry.occurred_at.isoformat(),
        "actor": entry.actor,
        "edition": entry.edition,
        "licence_id": entry.licence_id,
        "origin": entry.origin,
        "action": entry.action,
        "subject_type": entry.subject_type,
        "subject_id": str(entry.subject_id),
        "subject_name": entry.subject_name,
        "outcome": entry.outcome,
        "reason": entry.reason,
        "command_id": str(entry.command_id),
        "changes": [change.model_dump(mode="json") for change in entry.changes],
        "hash": entry.hash,
    }
