"""The acts of auditors: read, count, and ask why."""

from collections.abc import Sequence
from datetime import datetime

from domain.queries import Standing
from domain.read_models import AuditCount, AuditQuery, CountBy
from domain.read_models import AuditPage as Page
from domain.use_cases.act import Act
from domain.values import Value


class LogStands(Value):
    """Where the log ends, and the entry up to which its newest signed checkpoint proves it; times are UTC."""

    position: int
    recorded_at: datetime | None
    signed_up_to: int | None
    signed_at: datetime | None


class HowTheLogStands(Act[LogStands]):
    """Where the log ends, and up to where it is signed."""


class AuditPage(Act[Page]):
    """A page of the audit log."""

    query: AuditQuery


class CountAudit(Act[Sequence[AuditCount]]):
    """How many entries fit, by one of their facts, the most first."""

    by: CountBy
    query: AuditQuery


class Why(Act[Standing]):
    """Why a method can, or cannot, be chosen."""

    name: str
