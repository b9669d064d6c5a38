"""A refused attempt is an event of its own: it belongs to no aggregate, because nothing changed."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self
from uuid import UUID, uuid4

from eventsourcing.domain import CanCreateTimestamp

from domain.bounded import bounded
from domain.events import DomainEvent
from domain.people.users import User
from domain.printable import printable
from domain.secrets import without_secrets

NAME_AT_MOST = 100
"""Characters that are kept of what was named, whatever it was: no name that exists is longer."""


_SUBJECTS = {
    **dict.fromkeys(("request", "start", "cancel", "resume"), "run"),
    **dict.fromkeys(("sign-in", "visit"), "page"),
    **dict.fromkeys(("install-licence", "remove-licence"), "licence"),
    **dict.fromkeys(("checkpoint", "export", "verify", "accept-clock"), "log"),
    **dict.fromkeys(("pause-pool", "resume-pool"), "pool"),
    "trust-key": "key",
    "rebuild": "views",
    "put-right": "installation",
}


class ActionRefused(DomainEvent, CanCreateTimestamp):
    """Someone tried what they may not do: what, on which subject, with which facts, and why not."""

    TOPIC: ClassVar[str] = "action.refused"

    action: str
    subject_type: str
    subject_name: str
    reason: str
    tried: dict[str, Any]

    @classmethod
    def happened(
        cls, *, action: str, subject: object, reason: str, tried: Mapping[str, Any], by: User, command_id: UUID
    ) -> Self:
        """This event, now. Everything that was tried is kept without secrets, printable and bounded."""
        return cls(
            originator_id=uuid4(),
            originator_version=1,
            timestamp=cls.create_timestamp(),
            by=by,
            command_id=command_id,
            action=action,
            subject_type=_SUBJECTS.get(action, "method"),
            subject_name=printable(str(bounded(subject, clean=without_secrets)), at_most=NAME_AT_MOST),
            reason=bounded(reason, clean=without_secrets),
            tried=bounded(tried, clean=without_secrets),
        )
