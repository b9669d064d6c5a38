"""Sessions at the page: who somebody proved to be, for how long that holds, and where it is kept."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from domain.audit.operations import Way
from domain.values import Value

IDLE = timedelta(hours=12)
"""A session that nobody uses for so long is over."""

LONGEST = timedelta(days=7)
"""After so long everybody signs in again."""


class Identity(Value):
    """Who somebody proved to be, and in which way; a provider's `issuer` knows them as its `subject`, of `groups`."""

    name: str
    way: Way
    issuer: str = ""
    subject: str = ""
    groups: tuple[str, ...] = ()


class Session(Value):
    """Somebody who is signed in in one browser. Times are UTC."""

    identity: Identity
    began: datetime
    used: datetime

    def holds(self, now: datetime) -> bool:
        """Whether it is not over."""
        return now - self.used <= IDLE and now - self.began <= LONGEST


class Sessions(Protocol):
    """Where sessions are kept, each under the hash of a key that its browser alone has."""

    def begin(self, key_hash: str, session: Session) -> None:
        """Keep a session; those that are over by then are forgotten."""
        ...

    def find(self, key_hash: str) -> Session | None:
        """The session of this key, also one that is over."""
        ...

    def use(self, key_hash: str, at: datetime) -> None:
        """Remember that it was used at this moment."""
        ...

    def end(self, key_hash: str) -> bool:
        """Forget it; whether it was there."""
        ...

    def end_all_of(self, name: str) -> int:
        """Forget every session of somebody; how many there were."""
        ...

    def all(self) -> Sequence[Session]:
        """Every session that is kept, by name and the newest first."""
        ...
