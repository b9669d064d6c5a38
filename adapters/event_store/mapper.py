"""Pydantic events straight to JSON bytes and back."""

from typing import Any
from uuid import UUID

import orjson
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Mapper, MapperDeserialisationError, StoredEvent, Transcoder
from eventsourcing.utils import get_topic, resolve_topic
from pydantic import ValidationError

from domain.events import DomainEvent


class PydanticMapper(Mapper[UUID]):
    """Keeps an event's fields as JSON, without its id and version, which have columns of their own.

    An event class whose fields changed says so with `class_version: ClassVar[int]` and a static method
    `upcast_v1_v2(fields)` for each step; stored events are brought up to date as they are read, never in the store.
    """

    def __init__(self) -> None:
        super().__init__(_NoTranscoder())

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        assert isinstance(domain_event, DomainEvent)
        cls = type(domain_event)
        state = domain_event.__pydantic_serializer__.to_json(
            domain_event, exclude={"originator_id", "originator_version"}
        )
        if (version := _class_version(cls)) > 1:
            state = state[:-1] + b',"class_version":%d}' % version
        return StoredEvent(domain_event.originator_id, domain_event.originator_version, get_topic(cls), state)

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        cls = resolve_topic(stored_event.topic)
        try:
            fields = orjson.loads(stored_event.state)
            version = fields.pop("class_version", 1)
            while version < _class_version(cls):
                getattr(cls, f"upcast_v{version}_v{version + 1}")(fields)
                version += 1
            fields["originator_id"] = stored_event.originator_id
            fields["originator_version"] = stored_event.originator_version
            return cls.model_validate(fields)
        except (ValueError, ValidationError, TypeError, AttributeError, LookupError) as error:
            raise MapperDeserialisationError(
                f"The event {stored_event.topic} number {stored_event.originator_version} of "
                f"{stored_event.originator_id} cannot be read: {error}"
            ) from error


def _class_version(cls: type[DomainEvent]) -> int:
    version: int = getattr(cls, "class_version", 1)
    return version


class _NoTranscoder(Transcoder):
    """The library wants one; events are pydantic's to encode."""

    def encode(self, obj: Any) -> bytes:
        return orjson.dumps(obj)

    def decode(self, data: bytes) -> Any:
        return orjson.loads(data)
