"""Whether the rows that an event makes in the views can be kept, on both databases' terms."""

from pydantic import BaseModel
from pydantic_core import to_json

from domain.audit.audit_index import FACTS, INDEXED_AT_MOST, words
from domain.audit.projections import changes_of
from domain.audit.read_models import LOG_BEGINS, Remove
from domain.bounded import WHOLE_AT_MOST
from domain.events import DomainEvent, RecordedEvent

_INDEXED = frozenset({*FACTS.values(), "internal_name", "requested_by"})


def why_no_row_holds(event: DomainEvent) -> str | None:
    """What keeps one of the databases from keeping the rows that this event makes, in words; None when both can."""
    recorded = RecordedEvent(
        id=0,
        originator_id=event.originator_id,
        originator_version=event.originator_version,
        topic=event.TOPIC,
        state=b"",
        recorded_at=event.timestamp,
    )
    try:
        changes = changes_of(event, recorded, LOG_BEGINS)
    except TypeError:
        return "no view knows it"
    for change in changes:
        for column, value in () if isinstance(change, Remove) else change.row.items():
            match value:
                case str() if column == "sentence":
                    if any(len(word) > INDEXED_AT_MOST for word in words(value)):
                        return f"a word in it has more than {INDEXED_AT_MOST} characters"
                case str() if column in _INDEXED and len(value) > INDEXED_AT_MOST:
                    return f"{column} has more than {INDEXED_AT_MOST} characters"
                case int() if abs(value) > WHOLE_AT_MOST:
                    return f"{column} is a number too large"
                case BaseModel() | dict() | tuple():
                    try:
                        to_json(value)
                    except ValueError:
                        return f"{column} is nested too deeply"
    return None
