"""`tmm demo`, `up`, `web`, `worker`, `env`, `migrate`, `rebuild` and `doctor`: the service as its operators meet it."""

import click

from adapters.cli.context import Context
from adapters.cli.errors import UNREACHABLE
from adapters.cli.output import as_json, heading, plain, remark, say, table, warn
from adapters.cli.parameters import BACKEND, json_option
from domain.catalogue.method_spec import Backend
from domain.use_cases.operators.health import Examine, PutRight
from domain.use_cases.operators.operating import RebuildViews
from domain.use_cases.operators.serving import (
    Demonstrate,
    LinesForPrograms,
    Migrate,
    PageLink,
    Serve,
    ServePage,
    SignInLink,
    Work,
)
from domain.use_cases.signing_in import EndSessions, FreeName


@click.command(short_help="Go from nothing to a trained model, in one terminal.")
@click.option("--method", default=None, metavar="NAME", help="The demo to run; else the first one of this machine.")
@click.option("--keep", is_flag=True, help="Leave the Prefect server and the worker running until Ctrl-C.")
@click.pass_obj
def demo(tmm: Context, method: str | None, keep: bool) -> None:
    """Go from nothing to a trained model, in one terminal.

    Makes the data folder, starts a Prefect server and a worker, trains a demo method on its sample data as a Prefect
    flow run, shows what came of it, and stops everything that it started.
    """
    tmm.do(Demonstrate(method=method, keep=keep), by=tmm.user())


@click.command(short_help="Run the page, the Prefect server and workers until interrupted.")
@click.option(
    "--backend", "backends", type=BACKEND, multiple=True, help="Which workers; else all of this machine. Repeatable."
)
@click.option("--no-worker", is_flag=True, help="Only the server: other machines train.")
@click.pass_obj
def up(tmm: Context, backends: tuple[Backend, ...], no_worker: bool) -> None:
    """Run the page, a Prefect server (unless PREFECT_API_URL names one) and workers for each backend until interrupted.

    A backend has a worker for each GPU, or one where there is none.
    """
    tmm.do(Serve(backends=backends, with_workers=not no_worker), by=tmm.user())


@click.command(short_help="Serve the Training Methods page, or print an address of it.")
@click.option(
    "--key",
    is_flag=True,
    help="Print an address of the page that is served; on one's own machine it counts once, within ten minutes.",
)
@click.option("--sign-out", metavar="NAME", help="End every session of somebody at the page.")
@click.option("--free", metavar="NAME", help="Let the next one who signs in with this name have it.")
@click.pass_obj
def web(tmm: Context, key: bool, sign_out: str | None, free: str | None) -> None:
    """Serve the Training Methods page alone, until interrupted. `tmm up` serves it with everything else."""
    if sum((key, sign_out is not None, free is not None)) > 1:
        raise click.UsageError("Give one of --key, --sign-out and --free.")
    if key:
        say(tmm.do(PageLink(), by=tmm.user()))
    elif sign_out is not None:
        ended = tmm.do(EndSessions(name=sign_out), by=tmm.user())
        counted = "1 session" if ended == 1 else f"{ended or 'no'} sessions"
        say(f"Ended {counted} of {plain(sign_out)}.")
    elif free is not None:
        tmm.do(FreeName(name=free), by=tmm.user())
        say(f"The name {plain(free)} is free: whoever signs in with it next has it.")
    else:
        tmm.do(ServePage(), by=tmm.user())


@click.command(short_help="Run this machine's workers until interrupted.")
@click.option("--backend", type=BACKEND, required=True, help="The work pool to serve.")
@click.pass_obj
def worker(tmm: Context, backend: Backend) -> None:
    """Run this machine's workers for one backend until interrupted: one for each GPU, or one where there is none.

    PREFECT_API_URL, or a `tmm up` on this machine, says for which server; PREFECT_API_AUTH_STRING is its password.
    """
    tmm.do(Work(backend=backend), by=tmm.user())


@click.command(short_help="Print the lines with which programs reach Prefect.")
@click.option("--sign-in", is_flag=True, help="Print a link instead that signs a browser in, once within ten minutes.")
@click.pass_obj
def env(tmm: Context, sign_in: bool) -> None:
    """Print the lines with which programs reach Prefect: its address and its password, for a shell.

    In the shell that starts them: eval "$(tmm env)". Whoever has the password can start, change and delete everything
    in Prefect.
    """
    user = tmm.user()
    for line in [tmm.do(SignInLink(), by=user)] if sign_in else tmm.do(LinesForPrograms(), by=user):
        say(line)


@click.command(short_help="Create the tables and install the preinstalled methods.")
@click.pass_obj
def migrate(tmm: Context) -> None:
    """Create the tables and install the preinstalled methods of this machine's backends. Safe to repeat.

    A preinstalled method that somebody deleted stays deleted.
    """
    migrated = tmm.do(Migrate(), by=tmm.user())
    if migrated.installed:
        say(f"The database is ready. Installed: {', '.join(migrated.installed)}")
        warn(migrated.remark)
    else:
        say("The database is ready, and nothing had to be installed.")


@click.command(short_help="Drop the views and replay the log into them.")
@click.pass_obj
def rebuild(tmm: Context) -> None:
    """Drop the views and replay the log into them. The outcome is what was there, unless that was damaged."""
    rebuilt = tmm.do(RebuildViews(), by=tmm.user())
    say(f"Rebuilt the views from {rebuilt.position} {'entry' if rebuilt.position == 1 else 'entries'} of the log.")
    if not rebuilt.agreed:
        warn("The log does not agree with what the views knew of it. Find out where with: tmm audit verify")


@click.command(short_help="Show every setting and check what is needed.")
@click.option("--fix", is_flag=True, help="First put right what can be: runs that are stuck, and what Prefect shows.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, fix: bool, json_wanted: bool) -> None:
    """Show every setting, and check what the service needs. Exit code 5 when something is not as it should be."""
    tmm: Context = ctx.obj
    user = tmm.user()
    if fix:
        fixed = tmm.do(PutRight(), by=user)
        for sentence in fixed:
            remark(f"fixed: {sentence}")
        if not fixed:
            remark("Nothing had to be put right.")
    found = tmm.do(Examine(), by=user)
    if json_wanted:
        as_json(
            {
                "settings": [setting.model_dump() for setting in found.settings],
                "checks": [{"name": check.name, "ok": check.ok, "words": check.words} for check in found.checks],
            }
        )
    else:
        say("Settings", bold=True)
        table(("VARIABLE", "VALUE", "WHAT IT IS"), [(s.name, s.value, s.meaning) for s in found.settings])
        heading("Checks")
        for check in found.checks:
            say(f"{check.name}: {check.words}", mark="ok" if check.ok else "--")
    if wrong := [check.name for check in found.checks if not check.ok]:
        remark(f"Not as it should be: {', '.join(wrong)}.")
        ctx.exit(UNREACHABLE)
