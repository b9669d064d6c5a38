"""`tmm can`: may I?"""

import click

from adapters.cli.errors import exit_code_of
from adapters.cli.installation import Installation
from adapters.cli.output import plain, say
from domain.catalogue.catalogue import Action


@click.command("can", short_help="Say beforehand whether you may add, delete or modify a method.")
@click.argument("action", type=click.Choice(["add", "delete", "modify"]), help="What you would do.")
@click.argument("name", help="The method's internal name.")
@click.pass_context
def can(ctx: click.Context, action: Action, name: str) -> None:
    """Say whether you may add, delete or modify a method now, and why not. Nothing is tried or recorded.

    The exit code is what the command itself would end with: 0 when you may.
    """
    installation: Installation = ctx.obj
    user = installation.user()
    verdict = installation.catalogue.may(action, name, by=user)
    if verdict.error is None:
        say(f"Yes: {user.name} may {action} {name}.")
    else:
        say(f"No: {plain(verdict.error)}")
        ctx.exit(exit_code_of(verdict.error))
