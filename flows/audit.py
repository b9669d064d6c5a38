"""`audit-report` and `make-checkpoint`: the audit log for people in the Prefect UI, and its proof on a schedule."""

from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State

from adapters.prefect.pages import in_days, report_page
from domain.audit.read_models import AuditQuery, CountBy
from domain.bounded import shown
from domain.errors import InvalidQuery
from domain.use_cases.audit import AuditPage, CountAudit
from domain.use_cases.proving import SignLog
from flows.acting import ending_in_words, installation_of_this_run

ENTRIES_SHOWN = 500
DAYS_AT_MOST = 36_500


@flow(name="audit-report", flow_run_name="audit report of {days} days", validate_parameters=False)
@ending_in_words
def audit_report(days: int = 7, method: str = "", actor: str = "", text: str = "") -> State[Any] | None:
    """Tell what happened in these days, optionally about one method, by one user or with these words."""
    with installation_of_this_run() as installation:
        query = AuditQuery(
            since=_days_ago(days),
            method=method or None,
            actor=actor or None,
            text=text or None,
            newest_first=True,
            limit=ENTRIES_SHOWN,
        )
        user = installation.user()
        page = installation.do(AuditPage(query=query), by=user)
        counts = installation.do(CountAudit(by=CountBy.ACTION, query=query), by=user)
        told = sum(count.entries for count in counts)
        create_markdown_artifact(
            report_page(page.entries, told, {count.value or "": count.entries for count in counts}, days),
            key="audit-report",
            description=f"The audit log of {in_days(days)}",
        )
        get_run_logger().info("%d entries in %d days; the report is this run's artifact", told, days)
    return None


@flow(name="make-checkpoint", flow_run_name="checkpoint", validate_parameters=False)
@ending_in_words
def make_checkpoint() -> State[Any] | None:
    """Sign where the audit log stands, and keep that outside the database."""
    with installation_of_this_run() as installation:
        signed = installation.do(SignLog(), by=installation.user())
        checkpoint = signed.checkpoint
        get_run_logger().info(
            "Checkpoint %d vouches for %d entries: %s", checkpoint.number, checkpoint.count, signed.file
        )
    return None


def _days_ago(days: object) -> datetime:
    if not isinstance(days, int) or not 0 < days <= DAYS_AT_MOST:
        raise InvalidQuery(f"days: must be a whole number from 1 to {DAYS_AT_MOST:,}, not {shown(days)}.")
    return datetime.now(UTC) - timedelta(days=days)
