"""Acts on the audit log."""

from collections.abc import Callable, Sequence
from typing import Any

from adapters.proof.checkpoint_files import CheckpointFolder
from domain.queries import Standing
from domain.read_models import AuditCount
from domain.read_models import AuditPage as Entries
from domain.use_cases.audit import AuditPage, CountAudit, HowTheLogStands, LogStands, Why
from domain.users import User
from infra.wiring import Installation


def page(tmm: Installation, act: AuditPage, _: User) -> Entries:
    return tmm.service.audit_page(act.query)


def count(tmm: Installation, act: CountAudit, _: User) -> Sequence[AuditCount]:
    return tmm.service.audit_counts(act.by, act.query)


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
