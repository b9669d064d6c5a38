"""`tmm token`: lets a program act for a person, once the operator trusts the key that says so."""

import json
from pathlib import Path
from typing import Any

import click

from adapters.cli.context import Context
from adapters.cli.given_files import text_of
from adapters.cli.output import plain, remark, say, warn
from domain.audit.operations import KeyPurpose
from domain.use_cases.licences import IssueToken, TrustKey


@click.group(short_help="Let a program act for a person, for a short time and one command.")
def token() -> None:
    """Let a program act for a person, for a short time and one command.

    Prefect knows no persons: what it starts is done by the user prefect. A program that knows for whom it acts passes a
    signed token as the parameter acting_for; the audit log then names that person, whose licence counts.

    \b
    tmm licence keygen --out keys           # the program's own pair
    tmm token trust keys/public.pem         # the operator
    tmm token issue --key keys/private.pem --for alice train '{"method": "sft-demo"}'
    """


@token.command(short_help="Trust a key that says for whom a program acts.")
@click.argument("public_key", metavar="PUBLIC_KEY", type=click.Path(path_type=Path), help="The program's public.pem.")
@click.pass_obj
def trust(tmm: Context, public_key: Path) -> None:
    """Trust a public key to say for whom a program acts. It can name anybody, so trust it as you trust them all."""
    text = text_of(public_key, what="key")
    act = TrustKey(text=text, called=str(public_key), purpose=KeyPurpose.ACTING)
    trusted = tmm.do(act, by=tmm.user())
    say(f"Trusts the key {trusted.key_id} to say for whom a program acts.")
    warn(trusted.remark)


@token.command(short_help="Sign a token.")
@click.option("--key", required=True, metavar="FILE", type=click.Path(path_type=Path), help="Its private.pem.")
@click.option("--for", "person", required=True, metavar="NAME", help="The person for whom the program acts.")
@click.option(
    "--minutes", type=click.IntRange(1, 60), default=5, show_default=True, help="How long it holds, from now."
)
@click.argument("action", type=click.Choice(["train", "add", "delete"]), help="What the program may do.")
@click.argument("parameters", metavar="JSON", help="The flow's parameters; what has a default may be left out.")
@click.pass_obj
def issue(tmm: Context, key: Path, person: str, minutes: int, action: str, parameters: str) -> None:
    """Sign a token with which a program may do one thing, with exactly these parameters, for one person."""
    act = IssueToken(key=key, person=person, action=action, parameters=_parameters(parameters), minutes=minutes)
    say(tmm.do(act, by=tmm.user()))
    remark(f"Pass it as the parameter acting_for within {minutes} min. It stands for {plain(person)}.")


def _parameters(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"The parameters are not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise click.UsageError('The parameters must be a JSON object, such as {"method": "sft-demo"}.')
    return value
