"""An event that an earlier version stored and nobody can read: everything else works around it, and it is named."""

import json
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import StoredEvent

from adapters.store.mapper import PydanticMapper
from domain.audit.operations import LicenceRemoved
from domain.audit.read_models import AuditEntry, AuditQuery
from domain.audit.refusals import ActionRefused
from domain.catalogue.preinstalled import preinstalled_methods
from domain.catalogue.training_method import TrainingMethod
from domain.errors import EventUnreadable, MethodNotFound
from domain.runs.training_run import TrainingRun
from infra.upkeep.doctor import checks
from infra.wiring import Installation
from tests.adapters.store.test_what_is_stored import everything_works, nested, refused_attempt
from tests.support.people import ALICE, BOB, method, request

HUGE = b"1" + b"0" * 400
SFT_DEMO = TrainingMethod.create_id("sft-demo")


def stored(service: Installation, topic: str, state: bytes, *, stream: UUID | None = None, version: int = 1) -> None:
    """Put an event into the log as an earlier version did: past everything that looks at it."""
    service.log.recorder.insert_events([StoredEvent(stream or uuid4(), version, topic, state)])


def refused_with(value: bytes) -> bytes:
    """The stored form of a refusal whose attempt held this JSON."""
    state = PydanticMapper().to_stored_event(refused_attempt(tried={"x": "HERE"})).state
    return state.replace(b'"HERE"', value)


def unreadable(service: Installation) -> list[AuditEntry]:
    return service.auditing.entries(AuditQuery(action="unreadable"))


@pytest.fixture
def service(installation: Installation) -> Installation:
    return installation


@pytest.mark.parametrize(
    ("topic", "state"),
    [
        (ActionRefused.TOPIC, refused_with(HUGE)),
        (ActionRefused.TOPIC, refused_with(b'"\\ud800"')),
        (ActionRefused.TOPIC, refused_with(b"[" * 5000 + b"]" * 5000)),
        (ActionRefused.TOPIC, refused_with(json.dumps(nested(260)).encode())),
        (ActionRefused.TOPIC, refused_with(b"NaN")),
        (LicenceRemoved.TOPIC, b"no JSON"),
        (TrainingMethod.Added.TOPIC, b"{}"),
        ("an event of a later version", b"{}"),
        ("domain.events:DomainEvent", refused_with(b"1")),
        ("os:system", b"{}"),
    ],
)
def test_everything_works_around_it(service: Installation, topic: str, state: bytes) -> None:
    before, listed = service.log.catch_up().position, service.catalogue.selectable()
    stored(service, topic, state)
    service.catalogue.add(method("afterwards"), by=ALICE)
    assert [found for found in service.catalogue.selectable() if found.spec.internal_name != "afterwards"] == listed
    (entry,) = unreadable(service)
    assert (entry.position, entry.subject_name, entry.actor) == (before + 1, topic, "unknown")
    assert entry.told == f"The event {topic}, number 1 of the stream {entry.subject_id}, cannot be read"
    everything_works(service)
    assert unreadable(service) == [entry]  # the same after the views were rebuilt
    assert [exported for exported, _ in service.log.entries(before + 1, before + 1)] == [entry]


def test_a_name_too_long_for_an_index_is_an_event_that_no_row_holds(service: Installation) -> None:
    long_name = "".join(f"{uuid4().hex}" for _ in range(200))
    state = PydanticMapper(why_not=lambda _: None).to_stored_event(refused_attempt(subject_name=long_name)).state
    stored(service, ActionRefused.TOPIC, state)
    assert len(unreadable(service)) == 1
    everything_works(service)


def test_nul_is_read_as_its_visible_escape(service: Installation) -> None:
    stored(service, ActionRefused.TOPIC, refused_with(b'"a\\u0000b \\\\u0000 \\\\\\u0000"'))
    entry = service.auditing.entries(AuditQuery(newest_first=True, limit=1))[0]
    assert entry.changes[0].after == "a\\x00b \\u0000 \\\\x00"
    everything_works(service)


def test_a_method_whose_history_cannot_be_read_is_the_only_one_that_suffers(
    installation: Installation, service: Installation
) -> None:
    stored(service, TrainingMethod.Modified.TOPIC, b'{"spec": ' + HUGE + b"}", stream=SFT_DEMO, version=2)
    everything_works(service)
    for act in (
        lambda: service.catalogue.modify("sft-demo", {"description": "anew"}, by=ALICE),
        lambda: service.catalogue.delete("sft-demo", by=ALICE),
        lambda: service.trainings.request(uuid4(), request("sft-demo"), by=ALICE),
        lambda: service.catalogue.versions("sft-demo"),
    ):
        with pytest.raises(EventUnreadable, match="cannot be read, so nothing can be done with it"):
            act()
    service.catalogue.modify("custom01", {"description": "anew"}, by=BOB)
    service.trainings.request(uuid4(), request("grpo-demo"), by=ALICE)
    assert service.catalogue.preinstall(preinstalled_methods(installation.settings.backends)) == []
    with pytest.raises(MethodNotFound):
        service.catalogue.delete("nothing", by=ALICE)
    everything_works(service)


def test_a_run_whose_history_cannot_be_read_does_not_stop_the_others(service: Installation) -> None:
    good, bad = uuid4(), uuid4()
    for run_id in (good, bad):
        service.trainings.request(run_id, request("sft-demo"), by=ALICE)
    stored(service, TrainingRun.Started.TOPIC, b"{}", stream=bad, version=2)
    assert unreadable(service)[0].run_id == bad
    assert [entry.action for entry in service.auditing.entries(AuditQuery(run=bad))] == ["request", "unreadable"]
    assert set(service.catalogue.delete("sft-demo", by=ALICE)) == {good, bad}
    assert service.trainings.one(good).status == "cancelled"
    with pytest.raises(EventUnreadable):
        service.trainings.cancel(bad, "it hangs", by=ALICE)
    everything_works(service)


def test_the_doctor_names_it(installation: Installation, service: Installation) -> None:
    def said() -> tuple[bool, str]:
        (check,) = (check for check in checks(installation) if check.name == "log entries")
        return check.ok, check.words

    assert said() == (True, "every event of the log can be read")
    stored(service, ActionRefused.TOPIC, refused_with(HUGE))
    ok, words = said()
    position = service.log.catch_up().position
    assert ok  # nothing is missing, and nothing can ever be mended
    assert words.startswith(f"entry {position}: The event action.refused, number 1 of the stream")
    stored(service, TrainingMethod.Modified.TOPIC, b"{}", stream=SFT_DEMO, version=2)
    ok, words = said()
    assert not ok
    assert f"training-method.modified, number 2 of the stream {SFT_DEMO}, cannot be read" in words
