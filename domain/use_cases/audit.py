"""The acts of auditors: read, count, and ask why."""

from collections.abc import Sequence

from domain.queries import Standing
from domain.read_models import AuditCount, AuditQuery, CountBy
from domain.read_models import AuditPage as Page
from domain.use_cases.act import Act


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
