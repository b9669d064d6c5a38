"""What cannot be read back is never stored, on either database's terms."""

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from adapters.store.mapper import LARGEST_EVENT, PydanticMapper
from domain.audit.operations import LicenceRemoved
from domain.audit.proving.verified_log import VerifiedLog
from domain.audit.read_models import AuditEntry, AuditQuery
from domain.audit.refusals import ActionRefused
from domain.catalogue.training_method import TrainingMethod
from domain.errors import CommercialUsersOnly, InvalidInput, InvalidMethod, NotStorable
from infra.wiring import Installation
from tests.support.people import ALICE, BOB, method, request
from tests.support.services import Services

HUGE = 10**400


def everything_works(service: Services | Installation) -> None:
    """What bricked an installation once: its list, its audit log, verifying and rebuilding."""
    service.catalogue.selectable()
    service.trainings.all()
    service.auditing.entries(AuditQuery(newest_first=True))
    assert VerifiedLog(service.log).verify().findings == ()
    assert service.operating.rebuild_views(by=ALICE).agreed
    assert VerifiedLog(service.log).verify().findings == ()


def last_entry(service: Services) -> AuditEntry:
    return service.auditing.entries(AuditQuery(newest_first=True, limit=1))[0]


def nested(depth: int) -> Any:
    value: Any = "the innermost"
    for _ in range(depth):
        value = [value]
    return value


def refused_attempt(**facts: Any) -> ActionRefused:
    """An event whose fields nobody bounded."""
    return ActionRefused(
        originator_id=uuid4(),
        originator_version=1,
        timestamp=datetime.now(UTC),
        by=BOB,
        command_id=uuid4(),
        **{"action": "modify", "subject_type": "method", "subject_name": "x", "reason": "no", "tried": {}} | facts,
    )


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"tried": {"x": HUGE}}, "cannot be read back"),
        ({"tried": {"x": 2**64 + 1}}, "come back as another"),
        ({"tried": {"x": float("nan")}}, "cannot be read back|come back as another"),
        ({"tried": {"x": "\0"}}, "NUL"),
        ({"tried": {"x": "\\\\\0"}}, "NUL"),
        ({"reason": "\0"}, "NUL"),
        ({"tried": {"x": "\ud800"}}, "no text"),
        ({"tried": {"x": nested(300)}}, "nested too deeply"),
        ({"tried": {"x": "x" * LARGEST_EVENT}}, "bytes, and at most 200,000 are taken"),
        ({"subject_name": "x" * 201}, "method has more than 200 characters|a word in it has more"),
        ({"subject_name": "two words " * 40}, "method has more than 200 characters"),
    ],
)
def test_what_would_not_come_back_is_not_stored(facts: dict[str, Any], words: str) -> None:
    with pytest.raises(NotStorable, match=words):
        PydanticMapper().to_stored_event(refused_attempt(**facts))


def test_a_text_that_only_speaks_of_nul_is_no_nul() -> None:
    event = refused_attempt(tried={"x": "\\u0000 and \\\\u0000"})
    assert PydanticMapper().to_domain_event(PydanticMapper().to_stored_event(event)) == event


ODDITIES = {
    "a huge number": HUGE,
    "a number that nobody can print": 10**5000,
    "not a number": float("nan"),
    "infinite": float("-inf"),
    "a NUL": "a\0b",
    "a lone surrogate": "\ud800",
    "a megabyte": "x" * 1_000_000,
    "nested": nested(900),
    "many": list(range(100_000)),
    "a key": {"\0" * 1000: 1},
    "no value at all": object(),
}


@pytest.mark.parametrize("odd", ODDITIES.values(), ids=ODDITIES)
def test_a_refused_attempt_with_the_oddest_value_is_recorded(service: Services, odd: object) -> None:
    service.catalogue.add(method(), by=ALICE)
    with pytest.raises(CommercialUsersOnly) as refused:
        service.catalogue.modify("sft-support", {"description": "mine"}, by=BOB)
    service.commands.record_refused(
        refused.value, action="modify", name=odd, tried={"a": odd, "b": [odd, {"c": odd}]}, by=BOB
    )
    entry = last_entry(service)
    assert (entry.outcome, entry.changes[0].field) == ("refused", "a")
    assert len(entry.subject_name) < 200
    everything_works(service)


def test_what_was_tried_is_kept_as_it_was_where_it_can_be(service: Services) -> None:
    with pytest.raises(CommercialUsersOnly):
        service.catalogue.add(method(), by=BOB)
    tried = {change.field: change.after for change in last_entry(service).changes}
    assert tried == method().model_dump(mode="json")


def option(**fields: Any) -> dict[str, Any]:
    return {"name": "foo", "type": "integer", "default": 1, "description": "x"} | fields


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"configuration_options": [option(default=HUGE)]}, "'foo' must lie between"),
        ({"configuration_options": [option(default=2**63)]}, "'foo' must lie between"),
        ({"configuration_options": [option(default=1e300)]}, "'foo' must lie between"),
        ({"configuration_options": [option(type="number", default=HUGE)]}, "must be a number"),
        ({"configuration_options": [option(type="text", default="x" * 4001)]}, "at most 4,000 characters"),
        ({"configuration_options": [option(type="text", default="x", max_length=HUGE)]}, "at most 4,000|max_length"),
        ({"configuration_options": [option(name=f"o{n}") for n in range(101)]}, "at most 100 are taken, not 101"),
        (
            {"configuration_options": [option(type="choice", default="0", choices=[str(n) for n in range(101)])]},
            "at most 100 choices, not 101",
        ),
        (
            {"configuration_options": [option(type="choice", default="0", choices=["0", "x" * 4001])]},
            "a choice of option 'foo' may have at most 4,000",
        ),
        (
            {"configuration_options": [option(name=f"o{n}", description="ä" * 400) for n in range(100)]},
            "at most 40,000 are taken",
        ),
        ({"display_name": "a\0b"}, "display_name: holds a NUL"),
        ({"description": "\0"}, "description: holds a NUL"),
        ({"display_name": "\ud800"}, "display_name"),
        ({"display_name": "x" * 1_000_000}, "display_name"),
        ({"\0": 1}, "is not a field"),
    ],
)
def test_a_method_beyond_the_limits_is_refused_in_a_sentence(
    service: Services, changes: dict[str, Any], words: str
) -> None:
    service.catalogue.add(method(), by=ALICE)
    with pytest.raises(InvalidMethod, match=words) as refused:
        service.catalogue.modify("sft-support", changes, by=ALICE)
    assert len(str(refused.value)) < 1000
    assert service.catalogue.method("sft-support").version == 1
    everything_works(service)


@pytest.mark.parametrize(
    "fields",
    [
        {"options": {"max_steps": HUGE}},
        {"options": {"max_steps": 2**64 + 1}},
        {"options": {"x": "x" * 4001}},
        {"options": {f"o{n}": 1 for n in range(101)}},
        {"options": {f"o{n}": "x" * 1000 for n in range(50)}},
        {"dataset": "a\0b"},
        {"output_name": "\ud800"},
    ],
)
def test_a_request_beyond_the_limits_is_refused_in_a_sentence(service: Services, fields: dict[str, Any]) -> None:
    service.catalogue.add(method(), by=ALICE)
    with pytest.raises(InvalidInput) as refused:
        service.trainings.request(uuid4(), request(**fields), by=ALICE)
    assert len(str(refused.value)) < 1000
    everything_works(service)


@pytest.mark.parametrize("reason", ["\0", "\ud800", "x" * 1_000_000, "\x1b[31mred"])
def test_the_end_of_a_run_is_recorded_whatever_the_reason_says(service: Services, reason: str) -> None:
    service.catalogue.add(method(), by=ALICE)
    for end in (partial(service.trainings.cancel, by=ALICE), service.trainings.fail):
        run_id = uuid4()
        service.trainings.request(run_id, request(), by=ALICE)
        end(run_id, reason)
        kept = service.trainings.one(run_id).reason
        assert kept is not None
        assert len(kept) < 3000
        assert kept.isprintable()
    everything_works(service)


def test_a_metric_that_is_no_number_is_not_stored(service: Services) -> None:
    service.catalogue.add(method(), by=ALICE)
    run_id = uuid4()
    service.trainings.request(run_id, request(), by=ALICE)
    with pytest.raises(NotStorable, match=r"training-run\.completed"):
        service.trainings.complete(
            run_id,
            artifact="folder",
            artifact_hash="e" * 64,
            steps=1,
            metrics={"loss": float("nan")},
            before={},
            after={},
        )
    everything_works(service)


@pytest.mark.parametrize("depth", range(246, 256))
def test_an_event_at_the_edge_of_what_nests_is_stored_only_if_its_rows_can_be(service: Services, depth: int) -> None:
    with suppress(NotStorable):
        service.log.save(refused_attempt(tried={"x": nested(depth)}))
    everything_works(service)


def test_the_largest_events_are_stored_and_replayed(service: Services) -> None:
    """So many that projecting them at once is more than a connection's buffers hold."""
    options = [option(name=f"o{n}", description="x" * 300) for n in range(90)]
    for name in ("one", "two", "three"):
        added = TrainingMethod.add(method(name, configuration_options=options), by=ALICE, command_id=uuid4())
        options_now = [{**each, "description": "y" * 300} for each in options]
        added.modify(added.spec.with_changes({"configuration_options": options_now}), by=ALICE, command_id=uuid4())
        service.log.save(added)
    for n in range(30):
        service.log.save(
            LicenceRemoved.happened(licence_id=f"L-{n}", reason="x" * 199_000, by=ALICE, command_id=uuid4())
        )
    everything_works(service)
