"""Audit entries in the forms that other programs take."""

import json
from typing import Any

from domain.audit.read_models import AuditEntry

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def cell(value: Any) -> str:
    """A cell that no spreadsheet takes for a formula: one that could be taken for one begins with an apostrophe."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.startswith(_FORMULA) else text


def cloud_event(entry: AuditEntry) -> dict[str, Any]:
    """An entry as CloudEvents 1.0 has it. The chain's hash stands in `data`."""
    document = entry.document()
    return {
        "specversion": "1.0",
        "id": str(entry.position),
        "source": "/training-method-management/audit-log",
        "type": f"audit.{entry.subject_type}.{entry.action}",
        "subject": entry.subject_name,
        "time": document["occurred_at"],
        "datacontenttype": "application/json",
        "data": document,
    }
