"""`tmm audit`: what happened, by whom, and under which licence."""

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import click

from adapters.cli.commands.audit.proving import accept_clock, checkpoint, export, verify
from adapters.cli.context import Context
from adapters.cli.output import as_csv, as_json, as_json_lines, moment, remark, say, table
from adapters.cli.parameters import MemberOf, Moment, json_option
from adapters.shared.showing.entry_documents import cloud_event
from domain.audit.read_models import AuditEntry, AuditQuery, CountBy
from domain.people.users import User
from domain.use_cases.audit import AuditPage, CountAudit, HowTheLogStands, Why

SHOWN = 50
_FOLLOWS_EVERY_S = 0.5

_FILTERS: tuple[Callable[[Any], Any], ...] = (
    click.option("--actor", help="Only what this user did."),
    click.option("--action", help="Only this action, such as add, delete, start."),
    click.option("--method", help="Only what is about this method, by its internal name."),
    click.option("--run", type=click.UUID, help="Only what is about this training run."),
    click.option("--outcome", type=click.Choice(["done", "refused"]), help="Only what was done, or only refusals."),
    click.option(
        "--origin",
        type=click.Choice(["command line", "page", "python", "flow", "installer"]),
        help="Only what came from there.",
    ),
    click.option("--licence", metavar="ID", help="Only what was done under this licence."),
    click.option("--text", metavar="WORDS", help="Only sentences that have all of these words."),
    click.option("--since", type=Moment(), help="Only from this time on."),
    click.option("--until", type=Moment(end_of_day=True), help="Only up to this time."),
)


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which entries are meant."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.group("audit", invoke_without_command=True, short_help="Query the audit log.")
@filters
@click.option("--after", type=click.IntRange(min=0), metavar="POSITION", help="Go on after this entry.")
@click.option("--newest-first", is_flag=True, help="The newest at the top; --after then goes on to older ones.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=SHOWN, show_default=True, help="Entries to show.")
@click.option("--follow", is_flag=True, help="Go on with entries as they come, until Ctrl-C.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "jsonl", "csv", "cloudevents"]),
    default="table",
    help="How entries are written.",
)
@click.pass_context
def audit(
    ctx: click.Context,
    /,
    after: int | None,
    newest_first: bool,
    limit: int,
    follow: bool,
    form: str,
    **conditions: Any,
) -> None:
    """Query the audit log: who did what, when, and under which licence. All conditions hold together.

    Without --after these are the newest entries, the newest last. --after goes on from the last entry of a page.
    """
    if ctx.invoked_subcommand is not None:
        if any(value is not None for value in conditions.values()):
            raise click.UsageError(f"Conditions stand behind the command: tmm audit {ctx.invoked_subcommand} --…")
        return
    tmm: Context = ctx.obj
    user = tmm.user()
    newest = newest_first or after is None
    query = AuditQuery(**conditions, after=after, newest_first=newest, limit=limit)
    page = tmm.do(AuditPage(query=query), by=user)
    in_order = page.entries if newest_first or not newest else page.entries[::-1]
    _write(in_order, form, whole=not follow)
    _say_how_current(tmm, user)
    if page.next_after is not None and not follow:
        way = "--newest-first " if newest else ""
        remark(f"There are more. Go on with: {way}--after {page.next_after}")
    if follow:
        seen = max((entry.position for entry in page.entries), default=after or 0)
        _follow(tmm, user, AuditQuery(**conditions, limit=1000), seen, form)


@audit.command(short_help="Count entries by actor, action, method and so on.")
@click.option("--by", type=MemberOf(CountBy), required=True, help="What to count by.")
@filters
@json_option
@click.pass_obj
def count(tmm: Context, /, by: CountBy, json_wanted: bool, **conditions: Any) -> None:
    """Count the entries that all conditions fit, by one of their facts, the most first."""
    user = tmm.user()
    counts = tmm.do(CountAudit(by=by, query=AuditQuery(**conditions)), by=user)
    if json_wanted:
        as_json([{by.value: count.value, "entries": count.entries} for count in counts])
    elif counts:
        table((by.value.upper(), "ENTRIES"), [(count.value or "none", count.entries) for count in counts])
    else:
        remark("No entry of the audit log is of this kind.")
    _say_how_current(tmm, user)


@audit.command(short_help="Say why a method is, or is not, selectable.")
@click.argument("name", help="The method's internal name.")
@click.pass_obj
def why(tmm: Context, name: str) -> None:
    """Say why a method can, or cannot, be chosen for a training: what happened, by whom, and in which entry."""
    user = tmm.user()
    standing = tmm.do(Why(name=name), by=user)
    because = standing.because
    if because is None:
        say(f"{name} is not selectable: it was never added.")
    elif standing.selectable:
        say(f"{name} is selectable: {_told(because)}.")
    else:
        say(f"{name} is not selectable: {_told(because)}.")
    if standing.refused is not None and (because is None or standing.refused.position > because.position):
        say(f"The newest attempt that was refused: {_told(standing.refused)}: {standing.refused.reason}")
    _say_how_current(tmm, user)


audit.add_command(accept_clock)
audit.add_command(export)
audit.add_command(checkpoint)
audit.add_command(verify)


def _told(entry: AuditEntry) -> str:
    return f"{entry.sentence} on {moment(entry.recorded_at)} UTC (entry {entry.position})"


def _say_how_current(tmm: Context, user: User) -> None:
    """Who may not bring the views up to date is told how far they are."""
    stands = tmm.do(HowTheLogStands(), by=user)
    if not stands.all_shown:
        remark(
            f"These are the entries up to {stands.position}, recorded {moment(stands.recorded_at)} UTC; "
            "newer ones may not be shown yet."
        )


def _follow(tmm: Context, user: User, query: AuditQuery, seen: int, form: str) -> None:
    while True:
        entries = tmm.do(AuditPage(query=query.model_copy(update={"after": seen})), by=user).entries
        if entries:
            _write(entries, form, whole=False, headed=False)
            seen = entries[-1].position
        sys.stdout.flush()
        time.sleep(_FOLLOWS_EVERY_S)


def _write(entries: Iterable[AuditEntry], form: str, *, whole: bool, headed: bool = True) -> None:
    """`whole` when nothing comes after these entries, `headed` when nothing came before them."""
    match form:
        case "jsonl":
            as_json_lines(entry.document() for entry in entries)
        case "cloudevents" if whole:
            as_json([cloud_event(entry) for entry in entries])
        case "cloudevents":
            as_json_lines(cloud_event(entry) for entry in entries)
        case "csv":
            if headed:
                as_csv([AuditEntry.model_fields])
            as_csv(entry.document().values() for entry in entries)
        case _:
            _write_table(list(entries), whole=whole, headed=headed)


def _write_table(entries: list[AuditEntry], *, whole: bool, headed: bool) -> None:
    if entries and headed:
        table(
            ("ENTRY", "WHEN (UTC)", "OUTCOME", "WHAT HAPPENED"),
            [(entry.position, moment(entry.occurred_at), entry.outcome, entry.told) for entry in entries],
        )
    elif entries:
        for entry in entries:
            say(f"{entry.position}  {moment(entry.occurred_at)}  {entry.outcome}  {entry.told}")
    elif whole:
        remark("No entry of the audit log is of this kind.")
