"""A licence, as its issuer signed it, and how it stands for one user at one moment."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from domain.people.users import PREFECT, Edition
from domain.values import Value

EVERYONE = "*"
"""All persons. `prefect` is none: it stands for whoever reaches Prefect, so a licence must name it."""

LicenceId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Licence(Value):
    """What an issuer has signed: a customer, the users it covers (`*`: all persons), and from when until when (UTC)."""

    licence_id: LicenceId
    customer: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    users: tuple[Annotated[str, StringConstraints(min_length=1, max_length=200)], ...] = Field(
        min_length=1, max_length=10_000
    )
    edition: Edition
    not_before: datetime
    expires: datetime
    key_id: str

    def covers(self, user_name: str) -> bool:
        return user_name in self.users or (EVERYONE in self.users and user_name != PREFECT)

    def problem_for(self, user_name: str, *, now: datetime) -> str | None:
        """Why this licence gives the user nothing at this moment, or None. Completes «the licence …»."""
        if self.edition is not Edition.COMMERCIAL:
            return "is for noncommercial use"
        if now < self.not_before:
            return f"holds only from {self.not_before:%Y-%m-%d %H:%M} UTC on"
        if now >= self.expires:
            return f"expired on {self.expires:%Y-%m-%d}"
        if not self.covers(user_name):
            if user_name == PREFECT and EVERYONE in self.users:
                return f"is for persons ({EVERYONE}), and does not name {PREFECT}, as whom anybody in Prefect acts"
            return f"does not cover the user {user_name}"
        return None


class LicenceStanding(Value):
    """One installed file: the licence in it, if its signature holds, and why it gives the user nothing, if so."""

    file: str
    licence: Licence | None
    problem: str | None
