"""Acts on the audit log."""

from collections.abc import Callable, Sequence
from typing import Any

from domain.use_cases.queries import Standing

from adapters.proof.checkpoint_files import CheckpointFolder
from domain.audit.read_models import AuditCount
from domain.audit.read_models import AuditPage as Entries
from domain.people.users import User
from domain.use_cases.audit import AuditPage, CountAudit, HowTheLogStands, LogStands, Why
from infra.page_acts.rights import seen_by
from infra.wiring import Installation


def page(tmm: Installation, act: AuditPage, by: User) -> Entries:
    seen = seen_by(tmm, by, act.query)
    return tmm.service.audit_page(seen) if seen else Entries(entries=(), next_after=None)


def count(tmm: Installation, act: CountAudit, by: User) -> Sequence[AuditCount]:
    seen = seen_by(tmm, by, act.query)
    return tmm.service.audit_counts(act.by, seen) if seen else []


def stands(tmm: Installation, _: HowTheLogStands, __: User) -> LogStands:
    position, recorded_at = tmm.service.audit_up_to()
    signed = CheckpointFolder(tmm.settings.checkpoints).newest()
    return LogStands(
        position=position,
        recorded_at=recorded_at,
        signed_up_to=signed.position if signed else None,
        signed_at=signed.made_at if signed else None,
    )


def why(tmm: Installation, act: Why, _: User) -> Standing:
    return tmm.service.why(act.name)


HANDLERS: dict[type, Callable[..., Any]] = {HowTheLogStands: stands, AuditPage: page, CountAudit: count, Why: why}
