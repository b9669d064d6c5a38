"""What the audit log says of an event that cannot be read."""

from typing import cast
from uuid import UUID, uuid5

from domain.audit.audit_index import INDEXED_AT_MOST
from domain.audit.read_models import Head, Insert
from domain.audit.refusals import ActionRefused
from domain.events import RecordedEvent
from domain.printable import printable
from domain.runs.training_run import TrainingRun

UNREADABLE = "unreadable"
"""The action of an entry whose event cannot be read."""

_UNKNOWN = "unknown"


def unreadable_entry(recorded: RecordedEvent, head: Head) -> Insert:
    """The entry of an event that cannot be read: all that is certain without its content."""
    stream = cast(UUID, recorded.originator_id)
    run_id = stream if recorded.topic.startswith(f"{TrainingRun.TOPIC}.") else None
    return Insert(
        "audit_log",
        {
            "position": head.position,
            "notification_id": head.notification_id,
            "occurred_at": recorded.recorded_at,
            "recorded_at": recorded.recorded_at,
            "actor": _UNKNOWN,
            "edition": _UNKNOWN,
            "licence_id": None,
            "key_id": None,
            "origin": _UNKNOWN,
            "flow_run_id": None,
            "action": UNREADABLE,
            "subject_type": "event",
            "subject_id": stream,
            "subject_name": printable(recorded.topic, at_most=INDEXED_AT_MOST),
            "method": None,
            "run_id": run_id,
            "outcome": "refused" if recorded.topic == ActionRefused.TOPIC else "done",
            "reason": None,
            "command_id": uuid5(stream, str(recorded.originator_version)),
            "correlation_id": run_id or stream,
            "changes": (),
            "schema_version": 0,
            "sentence": (
                f"The event {printable(recorded.topic, at_most=INDEXED_AT_MOST)}, number "
                f"{recorded.originator_version} of the stream {stream}, cannot be read"
            ),
            "hash": head.hash,
        },
    )
