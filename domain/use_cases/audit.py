"""The acts of auditors: read, count, and ask why."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from domain.audit.auditing import Auditing, Standing
from domain.audit.proving.proof import Checkpoint
from domain.audit.read_models import AuditCount, AuditQuery, CountBy
from domain.audit.read_models import AuditPage as Page
from domain.people.roles import Role
from domain.people.users import User
from domain.use_cases.act import Act
from domain.values import Value


class LogStands(Value):
    """Where the log ends, and the entry up to which its newest signed checkpoint proves it; times are UTC.

    `all_shown` is false for whoever may not bring the views up to date: then newer entries may not be shown yet.
    """

    position: int
    recorded_at: datetime | None
    signed_up_to: int | None
    signed_at: datetime | None
    all_shown: bool = True


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
    """Why a method can, or cannot, be chosen. Raises `MethodNotFound`."""

    name: str


class SignedHeads(Protocol):
    """Where the signed states of the log are kept."""

    def newest(self) -> Checkpoint | None: ...


class Audit:
    """Does the acts of auditors. Nothing is changed or recorded."""

    def __init__(self, auditing: Auditing, signed: SignedHeads) -> None:
        self._auditing = auditing
        self._signed = signed

    def stands(self, _: HowTheLogStands, __: User, ___: UUID | None = None) -> LogStands:
        """Where the log ends, and up to where it is signed."""
        position, recorded_at = self._auditing.up_to()
        newest = self._signed.newest()
        return LogStands(
            position=position,
            recorded_at=recorded_at,
            signed_up_to=newest.position if newest else None,
            signed_at=newest.made_at if newest else None,
            all_shown=self._auditing.views_writable,
        )

    def page(self, act: AuditPage, by: User, _: UUID | None = None) -> Page:
        """A page of the audit log; whoever is no auditor sees the entries of their own acts."""
        seen = _seen_by(by, act.query)
        return self._auditing.page(seen) if seen is not None else Page(entries=(), next_after=None)

    def count(self, act: CountAudit, by: User, _: UUID | None = None) -> Sequence[AuditCount]:
        """How many entries fit, the most first."""
        seen = _seen_by(by, act.query)
        return self._auditing.counts(act.by, seen) if seen is not None else []

    def why(self, act: Why, _: User, __: UUID | None = None) -> Standing:
        """Why a method can, or cannot, be chosen."""
        return self._auditing.why(act.name)


def _seen_by(by: User, query: AuditQuery) -> AuditQuery | None:
    """What of a query this person may see, if anything."""
    if not by.roles.isdisjoint({Role.AUDITOR, Role.OPERATOR}):
        return query
    return query.model_copy(update={"actor": by.name}) if query.actor in (None, by.name) else None
