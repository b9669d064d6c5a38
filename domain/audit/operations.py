"""What happens to the installation itself: events of their own, like refusals, because they belong to no aggregate."""

import unicodedata
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Self
from uuid import UUID, uuid4, uuid5

from eventsourcing.domain import CanCreateTimestamp

from domain.events import DomainEvent
from domain.people.users import Edition, User


class Operation(DomainEvent, CanCreateTimestamp):
    """The base of these events."""

    @classmethod
    def happened(cls, *, by: User, command_id: UUID, **facts: object) -> Self:
        """This event, now."""
        return cls.model_validate(
            {
                "originator_id": uuid4(),
                "originator_version": 1,
                "timestamp": cls.create_timestamp(),
                "by": by,
                "command_id": command_id,
                **facts,
            }
        )


class LicenceInstalled(Operation):
    """A licence was put in place; `replaces` is the id of the one that it takes the place of. Times are UTC."""

    TOPIC: ClassVar[str] = "licence.installed"

    licence_id: str
    key_id: str
    customer: str
    users: tuple[str, ...]
    edition: Edition
    not_before: datetime
    expires: datetime
    replaces: str | None = None


class LicenceRemoved(Operation):
    """A licence was taken away."""

    TOPIC: ClassVar[str] = "licence.removed"

    licence_id: str
    reason: str


class KeyPurpose(StrEnum):
    """What a public key is trusted to sign."""

    LICENCE = "licence"
    ACTING = "acting"


class KeyTrusted(Operation):
    """From now on licences, or tokens of programs that act for persons, hold here if they are signed with this key."""

    TOPIC: ClassVar[str] = "key.trusted"

    purpose: KeyPurpose
    key_id: str


class ViewsRebuilt(Operation):
    """The views were dropped and the log replayed into them.

    `position` and `hash` are the last entry's after the replay. `agreed` says whether the replay met the hash that
    the views had before, at the position where they stood: if not, the log is not what it was.
    """

    TOPIC: ClassVar[str] = "views.rebuilt"

    position: int
    hash: str
    agreed: bool


class LogExported(Operation):
    """Entries from `first` to `last` were written to a file in this format, ending with this hash."""

    TOPIC: ClassVar[str] = "log.exported"

    format: str
    first: int
    last: int
    count: int
    hash: str


class CheckpointMade(Operation):
    """The state of the log up to `position` was signed with this key and kept outside the database."""

    TOPIC: ClassVar[str] = "checkpoint.made"

    position: int
    hash: str
    key_id: str


class ClockAccepted(Operation):
    """The clock was put right after it had jumped ahead: from this entry on, time counts from `accepted` anew.

    `newest` is the newest entry's time before. Of all entries this is the only kind whose time may be before that of
    the one before it.
    """

    TOPIC: ClassVar[str] = "clock.accepted"

    newest: datetime
    accepted: datetime


class Way(StrEnum):
    """How somebody proves who they are at the page."""

    LOCAL_KEY = "local key"
    OPENID = "OpenID Connect"
    PROXY = "proxy"


class SignedIn(Operation):
    """`by` began a session at the page; of a provider's `issuer` they are the `subject`."""

    TOPIC: ClassVar[str] = "person.signed-in"

    way: Way
    issuer: str = ""
    subject: str = ""


class SignedOut(Operation):
    """`sessions` of `person` ended before their time: their own hand's doing, or an operator's."""

    TOPIC: ClassVar[str] = "person.signed-out"

    person: str
    sessions: int


class NameTaken(Operation):
    """From now on this name belongs to the `subject` of the `issuer`, who was the first to sign in with it.

    Each name has a stream of its own, so that of two who come with it at the same moment only one can take it.
    """

    TOPIC: ClassVar[str] = "name.taken"

    name: str
    issuer: str
    subject: str

    @classmethod
    def stream_of(cls, name: str) -> UUID:
        return uuid5(_NAMES, unicodedata.normalize("NFKC", name).casefold())


class NameFreed(Operation):
    """An operator decided that whoever signs in next with this name may have it."""

    TOPIC: ClassVar[str] = "name.freed"

    name: str
    issuer: str
    subject: str


class ActingTokenUsed(Operation):
    """A program did something for a person: `by` is that person, in the flow run that brought the token.

    It is stored in one transaction with the event that the token led to, a refusal too: that event has the same
    `command_id`, and `led_to` is its stream; tokens that were used before this was remembered have none. Each token has
    a stream of its own with room for this one event, so that of two flow runs that bring it at the same moment only one
    can use it.
    """

    TOPIC: ClassVar[str] = "acting-token.used"

    token_id: str
    key_id: str
    action: str
    expires: datetime
    led_to: UUID | None = None

    @classmethod
    def stream_of(cls, key_id: str, token_id: str) -> UUID:
        return uuid5(_ACTING_TOKENS, f"{key_id} {token_id}")


_NAMES = UUID("b1f0a0b4-63b0-4c8e-8f0e-6c1f5f0c6a52")
_ACTING_TOKENS = UUID("6a1c5d1e-2f0b-4f5a-9a52-0d1f5f3c7c11")
