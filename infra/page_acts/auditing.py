"""Acts on the audit log."""

from collections.abc import Callable, Sequence
from typing import Any

from domain.queries import Standing
from domain.read_models import AuditCount
from domain.read_models import AuditPage as Entries
from domain.use_cases.audit import AuditPage, CountAudit, Why
from domain.users import User
from infra.wiring import Installation


def page(tmm: Installation, act: AuditPage, _: User) -> Entries:
    return tmm.service.audit_page(act.query)


def count(tmm: Installation, act: CountAudit, _: User) -> Sequence[AuditCount]:
    return tmm.service.audit_counts(act.by, act.query)


def why(tmm: Installation, act: Why, _: User) -> Standing:
    return tmm.service.why(act.name)


HANDLERS: dict[type, Callable[..., Any]] = {AuditPage: page, CountAudit: count, Why: why}
