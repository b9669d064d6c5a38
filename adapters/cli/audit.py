"""`tmm audit`: what happened, by whom, and under which licence."""

import csv
import json
import sys
from datetime import datetime
from uuid import UUID

import click

from adapters.cli.documents import entry_document
from adapters.cli.installation import Installation
from adapters.cli.output import moment, remark, say, table
from adapters.cli.parameters import Moment
from domain.read_models import AuditEntry, AuditQuery, Outcome

SHOWN = 50


@click.group("audit", invoke_without_command=True, short_help="Query the audit log.")
@click.option("--actor", help="Only what this user did.")
@click.option("--action", help="Only this action, such as add, delete, start.")
@click.option("--method", help="Only what is about this method, by its internal name.")
@click.option("--run", type=click.UUID, help="Only what is about this training run.")
@click.option("--outcome", type=click.Choice(["done", "refused"]), help="Only what was done, or only refusals.")
@click.option("--since", type=Moment(), help="Only from this time on.")
@click.option("--until", type=Moment(end_of_day=True), help="Only up to this time.")
@click.option("--after", type=click.IntRange(min=0), metavar="POSITION", help="Begin after this entry.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=SHOWN, show_default=True, help="Entries to show.")
@click.option(
    "--format", "form", type=click.Choice(["table", "jsonl", "csv"]), default="table", help="How entries are written."
)
@click.pass_context
def audit(
    ctx: click.Context,
    actor: str | None,
    action: str | None,
    method: str | None,
    run: UUID | None,
    outcome: Outcome | None,
    since: datetime | None,
    until: datetime | None,
    after: int | None,
    limit: int,
    form: str,
) -> None:
    """Query the audit log: who did what, when, and under which licence. All conditions hold together.

    Without --after these are the newest entries, the newest last.
    """
    if ctx.invoked_subcommand is not None:
        return
    installation: Installation = ctx.obj
    query = AuditQuery(
        actor=actor,
        action=action,
        method=method,
        run=run,
        outcome=outcome,
        since=since,
        until=until,
        after=after,
        newest_first=after is None,
        limit=limit,
    )
    entries = installation.service.audit(query)
    _write(entries[::-1] if after is None else entries, form)


def _write(entries: list[AuditEntry], form: str) -> None:
    if form == "jsonl":
        for entry in entries:
            say(json.dumps(entry_document(entry), ensure_ascii=False))
    elif form == "csv":
        fields = [name for name in AuditEntry.model_fields if name != "changes"]
        writer = csv.writer(sys.stdout)
        writer.writerow(fields)
        writer.writerows([getattr(entry, name) for name in fields] for entry in entries)
    elif entries:
        table(
            ("ENTRY", "WHEN (UTC)", "OUTCOME", "WHAT HAPPENED"),
            [(entry.position, moment(entry.occurred_at), entry.outcome, entry.sentence) for entry in entries],
        )
    else:
        remark("No entry of the audit log is of this kind.")
