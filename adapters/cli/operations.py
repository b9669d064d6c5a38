"""`tmm demo`, `up`, `worker`, `env`, `migrate`, `rebuild` and `doctor`: the service as its operators meet it."""

import click

from adapters.cli.errors import UNREACHABLE
from adapters.cli.installation import Installation
from adapters.cli.output import as_json, heading, remark, say, table, warn
from adapters.cli.parameters import BACKEND, json_option
from domain.catalogue.method_spec import Backend
from domain.errors import BackendUnavailable


@click.command(short_help="Go from nothing to a trained model, in one terminal.")
@click.option("--method", default=None, metavar="NAME", help="The demo to run; else the first one of this machine.")
@click.option("--keep", is_flag=True, help="Leave the Prefect server and the worker running until Ctrl-C.")
@click.pass_obj
def demo(installation: Installation, method: str | None, keep: bool) -> None:
    """Go from nothing to a trained model, in one terminal.

    Makes the data folder, starts a Prefect server and a worker, trains a demo method on its sample data as a Prefect
    flow run, shows what came of it, and stops everything that it started.
    """
    installation.demo(method or _demo_of_this_machine(installation), keep=keep)


def _demo_of_this_machine(installation: Installation) -> str:
    return "sft-demo" if Backend.CUDA in installation.settings.backends else "mlx-demo"


@click.command(short_help="Run the Prefect server and workers until interrupted.")
@click.option(
    "--backend", "backends", type=BACKEND, multiple=True, help="Which workers; else all of this machine. Repeatable."
)
@click.option("--no-worker", is_flag=True, help="Only the server: other machines train.")
@click.pass_obj
def up(installation: Installation, backends: tuple[Backend, ...], no_worker: bool) -> None:
    """Run the Prefect server (unless PREFECT_API_URL names one) and workers for each backend, until interrupted.

    A backend has a worker for each GPU, or one where there is none.
    """
    wanted = tuple(dict.fromkeys(backends)) or installation.settings.backends
    for backend in wanted if not no_worker else ():
        _must_be_here(installation, backend)
    installation.up(wanted, with_workers=not no_worker)


@click.command(short_help="Run this machine's workers until interrupted.")
@click.option("--backend", type=BACKEND, required=True, help="The work pool to serve.")
@click.pass_obj
def worker(installation: Installation, backend: Backend) -> None:
    """Run this machine's workers for one backend until interrupted: one for each GPU, or one where there is none.

    PREFECT_API_URL, or a `tmm up` on this machine, says for which server; PREFECT_API_AUTH_STRING is its password.
    """
    _must_be_here(installation, backend)
    installation.worker(backend)


@click.command(short_help="Print the lines with which programs reach Prefect.")
@click.option("--sign-in", is_flag=True, help="Print a link instead that signs a browser in, once within ten minutes.")
@click.pass_obj
def env(installation: Installation, sign_in: bool) -> None:
    """Print the lines with which programs reach Prefect: its address and its password, for a shell.

    In the shell that starts them: eval "$(tmm env)". Whoever has the password can start, change and delete everything
    in Prefect.
    """
    for line in [installation.sign_in_link()] if sign_in else installation.lines_for_programs():
        say(line)


def _must_be_here(installation: Installation, backend: Backend) -> None:
    here = installation.settings.backends
    if backend not in here:
        raise BackendUnavailable(
            f"This machine has no backend {backend} (it has {', '.join(here) or 'none'}). "
            "Install what it needs, or name it in TMM_BACKENDS."
        )


@click.command(short_help="Create the tables and install the preinstalled methods.")
@click.pass_obj
def migrate(installation: Installation) -> None:
    """Create the tables and install the preinstalled methods of this machine's backends. Safe to repeat.

    A preinstalled method that somebody deleted stays deleted.
    """
    installed = installation.migrate()
    if installed:
        say(f"The database is ready. Installed: {', '.join(installed)}")
        warn(installation.update_prefect())
    else:
        say("The database is ready, and nothing had to be installed.")


@click.command(short_help="Drop the views and replay the log into them.")
@click.pass_obj
def rebuild(installation: Installation) -> None:
    """Drop the views and replay the log into them. The outcome is what was there, unless that was damaged."""
    rebuilt = installation.operating.rebuild_views(by=installation.user())
    say(f"Rebuilt the views from {rebuilt.position} {'entry' if rebuilt.position == 1 else 'entries'} of the log.")
    if not rebuilt.agreed:
        warn("The log does not agree with what the views knew of it. Find out where with: tmm audit verify")


@click.command(short_help="Show every setting and check what is needed.")
@click.option("--fix", is_flag=True, help="First put right what can be: runs that are stuck, and what Prefect shows.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, fix: bool, json_wanted: bool) -> None:
    """Show every setting, and check what the service needs. Exit code 5 when something is not as it should be."""
    installation: Installation = ctx.obj
    if fix:
        fixed = installation.fix()
        for sentence in fixed:
            remark(f"fixed: {sentence}")
        if not fixed:
            remark("Nothing had to be put right.")
    settings, checks = installation.describe_settings(), installation.checks()
    if json_wanted:
        as_json(
            {
                "settings": [{"name": name, "value": value, "meaning": meaning} for name, value, meaning in settings],
                "checks": [{"name": check.name, "ok": check.ok, "words": check.words} for check in checks],
            }
        )
    else:
        say("Settings", bold=True)
        table(("VARIABLE", "VALUE", "WHAT IT IS"), settings)
        heading("Checks")
        for check in checks:
            say(f"{check.name}: {check.words}", mark="ok" if check.ok else "--")
    if wrong := [check.name for check in checks if not check.ok]:
        remark(f"Not as it should be: {', '.join(wrong)}.")
        ctx.exit(UNREACHABLE)
