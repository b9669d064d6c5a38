"""The frozen bases of all events and aggregates.

Every event says who did it, when, and which command it answers, and has an explicit topic under which it is
stored for ever: never a Python path.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from eventsourcing.domain import BaseAggregate, CanInitAggregate, CanMutateAggregate
from eventsourcing.persistence import Notification
from eventsourcing.utils import register_topic
from pydantic import AfterValidator

from domain.people.users import User
from domain.values import Value


class DomainEvent(Value):
    """Something that happened. `timestamp` is UTC with microseconds; `command_id` names the command it answers."""

    TOPIC: ClassVar[str]

    originator_id: UUID
    originator_version: int
    timestamp: datetime
    by: Annotated[User, AfterValidator(User.as_recorded)]
    command_id: UUID

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        # Of an aggregate's events the library knows the topics; the others it would only learn when it writes one, and
        # a process that reads before it writes could not.
        if "TOPIC" in vars(cls) and not issubclass(cls, CanMutateAggregate):
            register_topic(cls.TOPIC, cls)

    def _as_dict(self) -> dict[str, Any]:
        # The library would use vars(self), which for pydantic also holds private state.
        return {name: getattr(self, name) for name in type(self).model_fields}


class Aggregate(BaseAggregate[UUID]):
    """Base of our aggregates.

    `Event` stands inside because the library makes every aggregate's events subclasses of it; `Created` stands
    outside because the library would redefine it, without a topic, for each aggregate.
    """

    class Event(DomainEvent, CanMutateAggregate[UUID]):
        pass


class Created(Aggregate.Event, CanInitAggregate[UUID]):
    """The first event of a stream."""

    originator_topic: str


@dataclass(frozen=True)
class RecordedEvent(Notification):
    """A stored event as the log holds it: its number there, and the moment (UTC) at which the store took it in."""

    recorded_at: datetime
