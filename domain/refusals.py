"""A refused attempt is an event of its own: it belongs to no aggregate, because nothing changed."""

from typing import Any, ClassVar

from eventsourcing.domain import CanCreateTimestamp

from domain.events import DomainEvent


class ActionRefused(DomainEvent, CanCreateTimestamp):
    """Someone tried what they may not do: what, on which subject, with which facts, and why not."""

    TOPIC: ClassVar[str] = "action.refused"

    action: str
    subject_type: str
    subject_name: str
    reason: str
    tried: dict[str, Any]
