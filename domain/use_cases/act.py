"""An act is a value: what somebody can do here, with what they gave for it. The domain decides who may do it."""

from typing import ClassVar, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from domain.people.roles import Role
from domain.people.users import User

R = TypeVar("R")


class Needs(NamedTuple):
    """The role that an act takes; `to` completes «… may not», `action` and `subject` are recorded of an attempt."""

    role: Role
    to: str
    action: str
    subject: str


class Act(BaseModel, Generic[R]):
    """Something that somebody can do here, with what they gave for it; `R` is what comes of it.

    `needs` is the role that it takes, if any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    needs: ClassVar[Needs | None] = None


class Do(Protocol):
    """Does acts: every way in is given one."""

    def __call__(self, act: Act[R], *, by: User, command_id: UUID | None = None) -> R:
        """Do it for this person. Raises `TrainingMethodError`."""
        ...
