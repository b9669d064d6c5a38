"""`tmm audit export`, `checkpoint` and `verify`: the audit log as a proof."""

from pathlib import Path

import click

from adapters.cli.context import Context
from adapters.cli.errors import FAILED
from adapters.cli.output import moment, remark, say
from domain.use_cases.operators.operating import AcceptClock
from domain.use_cases.proving import ExportLog, SignLog, VerifyExport, VerifyLog

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(short_help="Write a range of entries to a file that proves itself.")
@click.argument("file", type=_FILE, help="The file to write; its manifest is written beside it.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv", "cloudevents"]),
    default="jsonl",
    show_default=True,
    help="How entries are written.",
)
@click.option("--from", "first", type=click.IntRange(min=1), default=1, show_default=True, help="The first entry.")
@click.option("--to", "last", type=click.IntRange(min=1), help="The last entry; else all there are.")
@click.pass_obj
def export(tmm: Context, file: Path, form: str, first: int, last: int | None) -> None:
    """Write a range of entries to a file, with a signed manifest beside it, after making a checkpoint.

    Whoever has the file, its manifest, a checkpoint and the public key can verify it years later, without this
    service: adapters/proof/verify_export.py is all it takes.
    """
    exported = tmm.do(ExportLog(file=file, form=form, first=first, last=last), by=tmm.user())
    manifest = exported.manifest
    say(f"Wrote {manifest['count']} entries, {manifest['first']} to {manifest['last']}, to {exported.file}")
    say(f"Its manifest: {exported.manifest_file}")


@click.command(short_help="Sign where the log stands.")
@click.pass_obj
def checkpoint(tmm: Context) -> None:
    """Sign where the log stands, and keep that outside the database. Copy checkpoints elsewhere: they are the proof."""
    signed = tmm.do(SignLog(), by=tmm.user())
    made = signed.checkpoint
    say(f"Checkpoint {made.number} vouches for {made.count} entries as of {moment(made.made_at)} UTC: {signed.file}")


@click.command(short_help="Verify the log, its views and checkpoints, or an export.")
@click.option("--export", "exported", type=_FILE, help="Verify this export instead of the log.")
@click.option("--checkpoint", "against", type=_FILE, help="A checkpoint that the export must agree with.")
@click.option("--public-key", type=_FILE, help="The key that it is verified with; else this installation's.")
@click.option("--quick", is_flag=True, help="The chain and the checkpoints only, not every column of every view.")
@click.pass_context
def verify(
    ctx: click.Context, exported: Path | None, against: Path | None, public_key: Path | None, quick: bool
) -> None:
    """Verify that the log is what it was: its chain, its views and its checkpoints. Exit code 6 when it is not."""
    tmm: Context = ctx.obj
    if exported is not None:
        verify_it = VerifyExport(file=exported, checkpoint=against, public_key=public_key)
        say(tmm.do(verify_it, by=tmm.user()))
        return
    if against is not None or public_key is not None:
        raise click.UsageError("--checkpoint and --public-key go with --export.")
    found = tmm.do(VerifyLog(views_too=not quick), by=tmm.user())
    for note in found.notes:
        remark(f"entry {note.position}: {note.words}")
    for finding in found.findings:
        say(f"entry {finding.position}: {finding.words}")
    if found.findings:
        say("The log is not what it was.")
        ctx.exit(FAILED)
    say(f"The log is what it was: {found.entries} entries, the last hash is {found.hash}.")
    say("Its views were not compared." if quick else "Its views agree with it.")
    if found.checkpoints:
        say(f"{found.checkpoints} {'checkpoint vouches' if found.checkpoints == 1 else 'checkpoints vouch'} for it.")
    else:
        say(
            "No checkpoint vouches for it: one kept elsewhere would show a log rewritten as a whole. Make one with: "
            "tmm audit checkpoint"
        )


@click.command(short_help="Let time count from the clock anew, after it had jumped ahead.")
@click.pass_obj
def accept_clock(tmm: Context) -> None:
    """Let time count from the clock anew, after it had jumped ahead and was set right.

    Entries are never recorded before the newest one, and licences are checked by the same time: after a jump ahead,
    they would all have ended. This entry alone brings time back. It names both times, and tmm audit verify shows it.
    """
    accepted = tmm.do(AcceptClock(), by=tmm.user())
    say(
        f"Time counts from {moment(accepted.accepted)} UTC anew; it had come to {moment(accepted.newest)} UTC. "
        "The audit log says that you did this."
    )
