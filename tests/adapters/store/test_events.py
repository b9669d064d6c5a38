"""Every event that was ever stored stays loadable, and every kind of event is documented."""

import json
import sys
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent
from eventsourcing.utils import get_topic

import domain.catalogue.catalogue  # noqa: F401 -- brings every event with it
from adapters import store
from adapters.store.mapper import PydanticMapper
from domain.events import DomainEvent

GOLDEN = Path(__file__).parent / "golden"
MAPPER = PydanticMapper()
DOCUMENTED = (Path(store.__file__).parent / "README.md").read_text()


def kinds_of_events(base: type[DomainEvent] = DomainEvent) -> Iterator[type[DomainEvent]]:
    """Every class of event of the domain that can be stored: those that no other is made of."""
    for kind in base.__subclasses__():
        if kind.__subclasses__():
            yield from kinds_of_events(kind)
        # The library makes an aggregate's events anew; the one that its name leads to is the one that is stored.
        elif (
            kind.__module__.startswith("domain.")
            and attrgetter(kind.__qualname__)(sys.modules[kind.__module__]) is kind
        ):
            yield kind


KINDS = sorted(set(kinds_of_events()), key=lambda kind: kind.__qualname__)
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__qualname__)


@each_kind
def test_every_kind_of_event_has_a_topic_of_its_own(kind: type[DomainEvent]) -> None:
    assert hasattr(kind, "TOPIC"), f"{kind.__qualname__} would be stored under its Python path"
    assert get_topic(kind) == kind.TOPIC
    assert [other for other in KINDS if other.TOPIC == kind.TOPIC] == [kind]


@each_kind
def test_every_kind_of_event_is_documented(kind: type[DomainEvent]) -> None:
    assert f"| `{kind.TOPIC}` |" in DOCUMENTED


@each_kind
def test_every_kind_of_event_has_golden_files(kind: type[DomainEvent]) -> None:
    assert list(GOLDEN.glob(f"{kind.TOPIC}.*.json"))


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.json")), ids=lambda file: file.stem)
def test_what_was_stored_once_stays_loadable(file: Path) -> None:
    golden = json.loads(file.read_text())
    event = MAPPER.to_domain_event(
        StoredEvent(
            UUID(golden["originator_id"]),
            golden["originator_version"],
            golden["topic"],
            json.dumps(golden["state"]).encode(),
        )
    )
    assert golden["topic"] == event.TOPIC
    state = json.loads(MAPPER.to_stored_event(event).state)
    if "class_version" not in state:  # a kind that never changed says today what it said then
        assert_says_at_least(golden["state"], state)


def assert_says_at_least(then: object, now: object) -> None:
    """All that was said then is said now; fields that came since may stand beside it."""
    if isinstance(then, dict) and isinstance(now, dict):
        for field, value in then.items():
            assert_says_at_least(value, now[field])
    elif isinstance(then, list) and isinstance(now, list):
        for one, other in zip(then, now, strict=True):
            assert_says_at_least(one, other)
    else:
        assert then == now
