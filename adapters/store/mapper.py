"""Pydantic events straight to JSON bytes and back. What could not be read back is never stored."""

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Mapper, MapperDeserialisationError, StoredEvent, Transcoder
from eventsourcing.utils import TopicError, get_topic, resolve_topic
from pydantic import ValidationError

from domain.audit.fitting import why_no_row_holds
from domain.errors import NotStorable
from domain.events import DomainEvent

LARGEST_EVENT = 200_000
"""Bytes of an event's JSON. PostgreSQL takes half a megabyte and then stands still with everybody waiting; what people
fill in has limits of its own far below, and this is the last guard."""

_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
_ORDINARY = ("training-method.", "training-run.")
_ORDINARY_BRACKETS = 200


class PydanticMapper(Mapper[UUID]):
    """Keeps an event's fields as JSON, without its id and version, which have columns of their own.

    An event class whose fields changed says so with `class_version: ClassVar[int]` and a static method
    `upcast_v1_v2(fields)` for each step; stored events are brought up to date as they are read, never in the store.
    """

    def __init__(self, *, why_not: Callable[[DomainEvent], str | None] = why_no_row_holds) -> None:
        super().__init__(_NoTranscoder())
        self._why_not = why_not

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        """Raises `NotStorable` for an event that would not come back as it is, or not fit into the views' rows."""
        assert isinstance(domain_event, DomainEvent)
        cls = type(domain_event)
        what = f"the event {get_topic(cls)}"
        try:
            state = domain_event.__pydantic_serializer__.to_json(
                domain_event, exclude={"originator_id", "originator_version"}
            )
        except ValueError:
            raise NotStorable(what, "a text in it is no text, or it is nested too deeply") from None
        if len(state) > LARGEST_EVENT:
            raise NotStorable(what, f"it has {len(state):,} bytes, and at most {LARGEST_EVENT:,} are taken")
        if _holds_nul(state):
            raise NotStorable(what, "a text in it holds a NUL character, which no database keeps")
        if (version := _class_version(cls)) > 1:
            state = state[:-1] + b',"class_version":%d}' % version
        stored = StoredEvent(domain_event.originator_id, domain_event.originator_version, get_topic(cls), state)
        try:
            event = self._read(stored)
        except MapperDeserialisationError as error:
            raise NotStorable(what, "it holds a value, such as a number too large, that cannot be read back") from error
        if event != domain_event:
            raise NotStorable(what, "it holds a value that would come back as another")
        if (problem := self._why_not(event)) is not None:
            raise NotStorable(what, problem)
        return stored

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """Raises `MapperDeserialisationError` for what cannot be read, or would not fit into the views' rows."""
        event = self._read(stored_event)
        if _is_odd(stored_event) and (problem := self._why_not(event)) is not None:
            raise _unreadable(stored_event, problem)
        return event

    def _read(self, stored_event: StoredEvent) -> DomainEvent:
        try:
            cls = resolve_topic(stored_event.topic)
            state = stored_event.state
            # Earlier versions took NUL, which PostgreSQL's texts do not hold: it is read as its visible escape.
            fields = orjson.loads(_NUL.sub(rb"\1\\\\x00", state) if _holds_nul(state) else state)
            version = fields.pop("class_version", 1)
            while version < _class_version(cls):
                getattr(cls, f"upcast_v{version}_v{version + 1}")(fields)
                version += 1
            fields["originator_id"] = stored_event.originator_id
            fields["originator_version"] = stored_event.originator_version
            event: DomainEvent = cls.model_validate(fields)
            return event
        except (ValueError, ValidationError, TypeError, AttributeError, LookupError, TopicError) as error:
            raise _unreadable(stored_event, str(error)) from error


def _unreadable(stored_event: StoredEvent, problem: str) -> MapperDeserialisationError:
    return MapperDeserialisationError(
        f"The event {stored_event.topic} number {stored_event.originator_version} of "
        f"{stored_event.originator_id} cannot be read: {problem}"
    )


def _holds_nul(state: bytes) -> bool:
    return b"\\u0000" in state and _NUL.search(state) is not None


def _is_odd(stored_event: StoredEvent) -> bool:
    """Whether it may be one that an earlier version stored and no row holds; most are seen at a glance not to be."""
    state = stored_event.state
    return not stored_event.topic.startswith(_ORDINARY) or state.count(b"[") + state.count(b"{") > _ORDINARY_BRACKETS


def _class_version(cls: type[DomainEvent]) -> int:
    version: int = getattr(cls, "class_version", 1)
    return version


class _NoTranscoder(Transcoder):
    """The library wants one; events are pydantic's to encode."""

    def encode(self, obj: Any) -> bytes:
        return orjson.dumps(obj)

    def decode(self, data: bytes) -> Any:
        return orjson.loads(data)
