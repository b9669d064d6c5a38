"""Who acts, and what they are entitled to."""

from enum import StrEnum
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from domain.errors import CommercialUsersOnly
from domain.people.roles import Role, must_have

PREFECT = "prefect"
"""The user of whatever is done through Prefect's UI or API, which know no persons: anybody who reaches them."""


class Edition(StrEnum):
    """What a user's licence, or the lack of one, makes of them."""

    COMMERCIAL = "commercial"
    NONCOMMERCIAL = "noncommercial"


class Origin(StrEnum):
    """Where a command came from."""

    COMMAND_LINE = "command line"
    PYTHON = "python"
    FLOW = "flow"
    WEB = "page"
    INSTALLER = "installer"


class Entitlement(BaseModel):
    """Proof of an edition. Only the licence adapter makes a commercial one, after it has verified the signature.

    `because` completes the sentence «…, and <because>» in a refusal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    edition: Edition
    licence_id: str | None = None
    key_id: str | None = None
    because: str

    @classmethod
    def noncommercial(cls, because: str) -> Self:
        """What everyone has without a licence that holds."""
        return cls(edition=Edition.NONCOMMERCIAL, because=because)


class User(BaseModel):
    """The acting user of a command, as recorded in every event but for the roles, which are those of the moment.

    `flow_run_id` is set when the command came from a Prefect flow run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str
    entitlement: Entitlement
    origin: Origin
    flow_run_id: UUID | None = None
    roles: frozenset[Role] = Field(default=frozenset(), exclude=True, repr=False)

    @property
    def is_commercial(self) -> bool:
        return self.entitlement.edition is Edition.COMMERCIAL

    def must_be_commercial(self, *, to: str) -> None:
        """Raise `CommercialUsersOnly` unless this user holds a commercial entitlement."""
        if not self.is_commercial:
            raise CommercialUsersOnly(user=self.name, to=to, because=self.entitlement.because)

    def as_recorded(self) -> Self:
        """This user as an event says it: without roles, which are not what somebody was but what they may just now."""
        return self.model_copy(update={"roles": frozenset()}) if self.roles else self

    def must_be(self, role: Role, *, to: str) -> None:
        """Raise `NotOfTheRole` unless this user has the role."""
        must_have(self.roles, role, name=self.name, to=to)

    def must_own(self, owner: str, *, to: str) -> None:
        """Raise `NotOfTheRole` unless what `owner` began is this user's own, or this user is an operator."""
        if owner != self.name:
            self.must_be(Role.OPERATOR, to=f"{to} of {owner}")


INSTALLER = User(
    name="installer",
    entitlement=Entitlement.noncommercial("the installer has no licence"),
    origin=Origin.INSTALLER,
)
