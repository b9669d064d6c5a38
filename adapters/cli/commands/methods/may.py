"""`tmm can`: may I?"""

import click

from adapters.cli.context import Context
from adapters.cli.errors import exit_code_of
from adapters.cli.output import plain, say
from adapters.shared.showing.remedies import with_remedies
from domain.catalogue.catalogue import Action
from domain.use_cases.methods import MayI


@click.command("can", short_help="Say beforehand whether you may add, delete or modify a method.")
@click.argument("action", type=click.Choice(["add", "delete", "modify"]), help="What you would do.")
@click.argument("name", help="The method's internal name.")
@click.pass_context
def can(ctx: click.Context, action: Action, name: str) -> None:
    """Say whether you may add, delete or modify a method now, and why not. Nothing is tried or recorded.

    The exit code is what the command itself would end with: 0 when you may.
    """
    tmm: Context = ctx.obj
    user = tmm.user()
    permission = tmm.do(MayI(action=action, name=name), by=user)
    if permission.error is None:
        say(f"Yes: {user.name} may {action} {name}.")
    else:
        say(f"No: {plain(with_remedies(permission.error))}")
        ctx.exit(exit_code_of(permission.error))
