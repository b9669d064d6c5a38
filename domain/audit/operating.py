"""What operators do to the installation itself, as the log remembers it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from domain.audit.event_log import EventLog
from domain.audit.operations import (
    ClockAccepted,
    KeyPurpose,
    KeyTrusted,
    LicenceInstalled,
    LicenceRemoved,
    ViewsRebuilt,
)
from domain.people.users import Edition, User


class Operating:
    """Records what happens to the installation, and rebuilds its views."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def rebuild_views(self, *, by: User, command_id: UUID | None = None) -> ViewsRebuilt:
        """Drop the views and replay the log; what is recorded of it, with whether the outcome is what was there."""
        before = self._log.views.head()
        self._log.views.clear()
        head = self._log.catch_up()
        agreed = before.position <= head.position and self._log.views.head_at(before.position).hash == before.hash
        rebuilt = ViewsRebuilt.happened(
            position=head.position, hash=head.hash, agreed=agreed, by=by, command_id=command_id or uuid4()
        )
        self._log.append(rebuilt)
        return rebuilt

    def licence_installed(
        self,
        licence_id: str,
        *,
        key_id: str,
        customer: str,
        users: Sequence[str],
        edition: Edition,
        not_before: datetime,
        expires: datetime,
        replaces: str | None = None,
        by: User,
        command_id: UUID | None = None,
    ) -> None:
        """Record that a licence, already verified, was put in place, possibly of another."""
        self._log.append(
            LicenceInstalled.happened(
                licence_id=licence_id,
                key_id=key_id,
                customer=customer,
                users=tuple(users),
                edition=edition,
                not_before=not_before,
                expires=expires,
                replaces=replaces,
                by=by,
                command_id=command_id or uuid4(),
            )
        )

    def licence_removed(self, licence_id: str, *, reason: str, by: User, command_id: UUID | None = None) -> None:
        """Record that a licence was taken away, and why."""
        self._log.append(
            LicenceRemoved.happened(licence_id=licence_id, reason=reason, by=by, command_id=command_id or uuid4())
        )

    def accept_clock(self, *, by: User, command_id: UUID | None = None) -> ClockAccepted:
        """Let time count from the clock anew, after it had jumped ahead. Raises `ClockNotBehind`."""
        newest, accepted = self._log.time().accepted_clock()
        event = ClockAccepted.happened(newest=newest, accepted=accepted, by=by, command_id=command_id or uuid4())
        self._log.append(event)
        return event

    def key_trusted(self, key_id: str, *, purpose: KeyPurpose, by: User, command_id: UUID | None = None) -> None:
        """Record that a public key was put into one of the folders of trusted keys."""
        self._log.append(KeyTrusted.happened(key_id=key_id, purpose=purpose, by=by, command_id=command_id or uuid4()))
