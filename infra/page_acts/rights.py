"""Who may what in a team's installation, until the roles of people stand in the domain: the safe half of WEB.md.

On a machine of one's own its user is operator and auditor; in a team only the one who runs the service is, here.
"""

from typing import Any

from domain.audit.read_models import AuditQuery, Run
from domain.errors import NotTheOperator
from domain.people.users import User
from infra.operating_system_user import operating_system_user
from infra.wiring import Installation


def must_be_operator(tmm: Installation, by: User, *, action: str, name: str, to: str, **tried: Any) -> None:
    """Raise `NotTheOperator`, and record it, for anybody else in a team's installation."""
    if _is_operator(tmm, by):
        return
    refused = NotTheOperator(f"{by.name} may not {to}: this is for this installation's operators. Ask one of them.")
    tmm.service.record_refused(refused, action=action, name=name, tried=tried, by=by)
    raise refused


def must_be_ones_own_run(tmm: Installation, by: User, run: Run, *, action: str) -> None:
    """Raise `NotTheOperator`, and record it, for another person's run."""
    if run.requested_by != by.name:
        to = f"{action} the training run {run.run_id} of {run.requested_by}"
        must_be_operator(tmm, by, action=action, name=str(run.run_id), to=to)


def seen_by(tmm: Installation, by: User, query: AuditQuery) -> AuditQuery | None:
    """What of a query this person may see, if anything: those who are no auditors see the entries of their own acts."""
    if _is_operator(tmm, by):
        return query
    return query.model_copy(update={"actor": by.name}) if query.actor in (None, by.name) else None


def _is_operator(tmm: Installation, by: User) -> bool:
    return not tmm.settings.team or by.name == operating_system_user()
