"""Events become bytes and come back, whatever form they were stored in."""

import json
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from eventsourcing.persistence import MapperDeserialisationError, StoredEvent
from eventsourcing.utils import get_topic
from hypothesis import given
from hypothesis import strategies as st

from adapters.store.mapper import PydanticMapper
from domain.events import DomainEvent
from tests.support.people import ALICE

MAPPER = PydanticMapper(why_not=lambda _: None)  # no view knows the event of these tests


class NoteTaken(DomainEvent):
    """An event that changed its fields twice: first it had `text`, then `words`, and now `words` and a `colour`."""

    TOPIC: ClassVar[str] = "test.note-taken"
    class_version: ClassVar[int] = 3

    words: tuple[str, ...]
    colour: str

    @staticmethod
    def upcast_v1_v2(fields: dict[str, Any]) -> None:
        fields["words"] = fields.pop("text").split()

    @staticmethod
    def upcast_v2_v3(fields: dict[str, Any]) -> None:
        fields["colour"] = "white"


get_topic(NoteTaken)  # makes the topic known, as the library does for events of aggregates


def note(**facts: Any) -> NoteTaken:
    return NoteTaken(
        originator_id=uuid4(),
        originator_version=7,
        timestamp=datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC),
        by=ALICE,
        command_id=uuid4(),
        **facts,
    )


def stored_as(event: NoteTaken, version: int, **facts: Any) -> StoredEvent:
    """The event as an earlier release would have stored it."""
    fields = {name: value for name, value in event.model_dump(mode="json").items() if name not in ("words", "colour")}
    for name in ("originator_id", "originator_version"):
        del fields[name]
    state = fields | facts | ({"class_version": version} if version > 1 else {})
    return StoredEvent(event.originator_id, event.originator_version, NoteTaken.TOPIC, json.dumps(state).encode())


TEXTS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


@given(st.lists(st.text(alphabet=TEXTS, min_size=1)), st.text(alphabet=TEXTS, max_size=20))
def test_an_event_comes_back_as_it_was(words: list[str], colour: str) -> None:
    event = note(words=tuple(words), colour=colour)
    assert MAPPER.to_domain_event(MAPPER.to_stored_event(event)) == event


@given(st.lists(st.from_regex(r"[a-z]+", fullmatch=True), max_size=5))
def test_every_earlier_form_is_read_as_todays(words: list[str]) -> None:
    event = note(words=tuple(words), colour="white")
    assert MAPPER.to_domain_event(stored_as(event, 1, text=" ".join(words))) == event
    assert MAPPER.to_domain_event(stored_as(event, 2, words=words)) == event
    assert MAPPER.to_domain_event(stored_as(event, 3, words=words, colour="white")) == event


def test_the_version_of_a_changed_event_stands_in_what_is_stored() -> None:
    state = json.loads(MAPPER.to_stored_event(note(words=(), colour="red")).state)
    assert state["class_version"] == 3
    assert not {"originator_id", "originator_version"} & set(state)


@pytest.mark.parametrize("state", [b"", b"[]", b"{}", b'{"class_version": "x"}', b"\xff"])
def test_what_cannot_be_read_is_said_with_its_place(state: bytes) -> None:
    stored = StoredEvent(uuid4(), 4, NoteTaken.TOPIC, state)
    with pytest.raises(MapperDeserialisationError, match=f"number 4 of {stored.originator_id}"):
        MAPPER.to_domain_event(stored)
