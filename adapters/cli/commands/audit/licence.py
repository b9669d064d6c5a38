"""`tmm licence`: what makes a commercial user, for issuers, operators and everybody who wonders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from adapters.cli.context import Context
from adapters.cli.given_files import text_of
from adapters.cli.output import as_json, facts, heading, plain, remark, say, warn
from adapters.cli.parameters import json_option
from domain.people.licences import EVERYONE, Licence, LicenceStanding
from domain.people.users import PREFECT, User
from domain.use_cases.licences import (
    InstallLicence,
    IssueLicence,
    ListLicences,
    MakeKeys,
    RemoveLicence,
    TrustKey,
)

_USERS_SHOWN = 8


@click.group(short_help="Issue, trust, install and show licences.")
def licence() -> None:
    """Issue, trust, install and show licences.

    Adding and deleting methods is for users whom an installed licence covers. A licence holds if it is signed with a
    key of the trust store, and its time has come and is not over. It is checked offline, at the moment of each command.

    \b
    The issuer:    tmm licence keygen --out keys
                   tmm licence issue --key keys/private.pem --customer Acme --users '*' \\
                       --days 365 --out acme.licence
    The operator:  tmm licence trust keys/public.pem
                   tmm licence install acme.licence
    """


@licence.command(short_help="Make an issuer's key pair.")
@click.option("--out", required=True, metavar="FOLDER", type=click.Path(path_type=Path), help="Where the keys go.")
@click.pass_obj
def keygen(tmm: Context, out: Path) -> None:
    """Make an issuer's key pair: private.pem, which signs licences, and public.pem, which checks them."""
    key_id = tmm.do(MakeKeys(folder=out), by=tmm.user())
    say(f"Made the key {key_id} in {plain(out)}: keep private.pem to yourself, give public.pem to operators.")
    remark(f"Sign a licence with it: tmm licence issue --key {plain(out / 'private.pem')} …")


@licence.command(short_help="Sign a licence.")
@click.option("--key", required=True, metavar="FILE", type=click.Path(path_type=Path), help="The issuer's private.pem.")
@click.option("--customer", required=True, metavar="NAME", help="For whom the licence is.")
@click.option(
    "--users",
    "users",
    required=True,
    multiple=True,
    metavar="USER…",
    help=f"Names of the operating-system users it covers; {EVERYONE} for all persons of an installation. "
    f"{PREFECT}, as whom everybody in the Prefect UI acts, must be named.",
)
@click.option("--days", required=True, metavar="N", type=click.IntRange(1, 36_500), help="How long it holds from now.")
@click.option("--out", required=True, metavar="FILE", type=click.Path(path_type=Path), help="Where the licence goes.")
@click.argument("more_users", nargs=-1, metavar="", help="More users, after --users.")
@click.pass_obj
def issue(
    tmm: Context,
    key: Path,
    customer: str,
    users: tuple[str, ...],
    days: int,
    out: Path,
    more_users: tuple[str, ...],
) -> None:
    """Sign a licence for a customer and the users it covers.

    \b
    tmm licence issue --key keys/private.pem --customer Acme --users alice bob --days 365 --out acme.licence
    """
    named = [name for text in (*users, *more_users) for name in text.replace(",", " ").split()]
    if not named:
        raise click.UsageError(f"Name the users that the licence covers, or {EVERYONE} for all persons.")
    act = IssueLicence(key=key, customer=customer, users=tuple(named), days=days, out=out)
    made = tmm.do(act, by=tmm.user())
    say(f"Issued {_in_words(made)}.")
    say(f"It is in {plain(out)}. Install it with: tmm licence install {plain(out)}")


@licence.command(short_help="Trust the licences of an issuer.")
@click.argument("public_key", type=click.Path(path_type=Path), help="The issuer's public.pem.")
@click.pass_obj
def trust(tmm: Context, public_key: Path) -> None:
    """Trust the licences that are signed with a key. Whoever may write the trust store decides this."""
    text = text_of(public_key, what="key")
    trusted = tmm.do(TrustKey(text=text, called=str(public_key)), by=tmm.user())
    say(f"Trusted the key {trusted.key_id}: licences signed with it hold here now.")
    remark(f"To trust it no more, delete {plain(trusted.file)}")
    warn(trusted.remark)


@licence.command(short_help="Install a licence.")
@click.argument("file", type=click.Path(path_type=Path), help="The licence, as its issuer gave it.")
@click.pass_obj
def install(tmm: Context, file: Path) -> None:
    """Install a licence. One that does not hold is refused; one whose time is still to come is not."""
    taken_in = tmm.do(InstallLicence(text=text_of(file, what="licence"), called=str(file)), by=tmm.user())
    installed = taken_in.licence
    say(f"Installed {_in_words(installed)}.")
    if PREFECT in installed.users:
        warn(
            f"It names {PREFECT}: everybody who reaches the Prefect UI or its API can add and delete methods under it, "
            "and the audit log cannot say who it was. "
            f"If you do not mean that: tmm licence remove {installed.licence_id}"
        )
    _say_what_it_makes_of(tmm.user())
    warn(taken_in.remark)


@licence.command(short_help="Remove an installed licence.")
@click.argument("name", metavar="LICENCE", help="The licence's id, as tmm licence show gives it.")
@click.pass_obj
def remove(tmm: Context, name: str) -> None:
    """Remove an installed licence. What was done under it stays in the audit log."""
    taken_out = tmm.do(RemoveLicence(name=name, reason="Removed with tmm licence remove."), by=tmm.user())
    removed = taken_out.standing
    say(f"Removed {_in_words(removed.licence) if removed.licence else plain(removed.file)}.")
    _say_what_it_makes_of(tmm.user())
    warn(taken_out.remark)


@licence.command(short_help="Show the installed licences, and what you may do.")
@json_option
@click.pass_obj
def show(tmm: Context, json_wanted: bool) -> None:
    """Show the installed licences, whether each holds for you, and if not, why."""
    user = tmm.user()
    licences = tmm.do(ListLicences(), by=user)
    warn(licences.problem)
    if json_wanted:
        as_json(_document(user, licences.standings))
        return
    _say_what_it_makes_of(user)
    for standing in licences.standings:
        heading(plain(standing.file))
        holds = "yes" if standing.problem is None else f"no: it {standing.problem}"
        facts([("holds for you", holds), *_facts(standing.licence)])


def _say_what_it_makes_of(user: User) -> None:
    entitlement = user.entitlement
    say(f"{plain(user.name)} is a {entitlement.edition} user: {plain(entitlement.because)}.")


def _in_words(made: Licence) -> str:
    return plain(
        f"the licence {made.licence_id} of {made.customer} for {_users(made)}, "
        f"from {made.not_before:%Y-%m-%d} until {made.expires:%Y-%m-%d}"
    )


def _users(made: Licence) -> str:
    if EVERYONE in made.users:
        return f"all persons, and {PREFECT}" if PREFECT in made.users else "all persons"
    more = len(made.users) - _USERS_SHOWN
    return ", ".join(made.users[:_USERS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _facts(of: Licence | None) -> list[tuple[str, object]]:
    if of is None:
        return []
    return [
        ("licence", of.licence_id),
        ("customer", of.customer),
        ("users", _users(of)),
        ("from", f"{of.not_before:%Y-%m-%d %H:%M} UTC"),
        ("until", f"{of.expires:%Y-%m-%d %H:%M} UTC"),
        ("signed with", of.key_id),
    ]


def _document(user: User, standings: Sequence[LicenceStanding]) -> dict[str, Any]:
    entitlement = user.entitlement
    return {
        "user": user.name,
        "edition": entitlement.edition.value,
        "licence_id": entitlement.licence_id,
        "reason": entitlement.because,
        "licences": [
            {
                "file": standing.file,
                "holds": standing.problem is None,
                "problem": standing.problem,
                "licence": standing.licence and standing.licence.model_dump(mode="json"),
            }
            for standing in standings
        ],
    }
