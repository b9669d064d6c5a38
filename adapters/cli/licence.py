"""`tmm licence`: what makes a commercial user, for issuers, operators and everybody who wonders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from adapters.cli.installation import Installation
from adapters.cli.output import as_json, facts, heading, plain, remark, say, warn
from adapters.cli.parameters import json_option
from domain.audit.operations import KeyPurpose
from domain.errors import Unreachable
from domain.people.licences import EVERYONE, Licence, LicenceStanding
from domain.people.users import PREFECT, User

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
def keygen(installation: Installation, out: Path) -> None:
    """Make an issuer's key pair: private.pem, which signs licences, and public.pem, which checks them."""
    key_id = installation.licences.generate_pair(out)
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
    installation: Installation,
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
    made = installation.licences.issue(key, customer=customer, users=named, days=days, out=out)
    say(f"Issued {_in_words(made)}.")
    say(f"It is in {plain(out)}. Install it with: tmm licence install {plain(out)}")


@licence.command(short_help="Trust the licences of an issuer.")
@click.argument("public_key", type=click.Path(path_type=Path), help="The issuer's public.pem.")
@click.pass_obj
def trust(installation: Installation, public_key: Path) -> None:
    """Trust the licences that are signed with a key. Whoever may write the trust store decides this."""
    key_id = installation.licences.trust(public_key)
    say(f"Trusted the key {key_id}: licences signed with it hold here now.")
    remark(f"To trust it no more, delete {plain(installation.settings.trust_store / f'{key_id}.pem')}")
    record_key_trusted(installation, key_id, KeyPurpose.LICENCE)


def record_key_trusted(installation: Installation, key_id: str, purpose: KeyPurpose) -> None:
    """The log's entry of a key that is in its folder now; where it cannot be told, that is said."""
    try:
        installation.operating.key_trusted(key_id, purpose=purpose, by=installation.user())
    except Unreachable as error:
        warn(f"The key is trusted, and the audit log was not told. {error}")


@licence.command(short_help="Install a licence.")
@click.argument("file", type=click.Path(path_type=Path), help="The licence, as its issuer gave it.")
@click.pass_obj
def install(installation: Installation, file: Path) -> None:
    """Install a licence. One that does not hold is refused; one whose time is still to come is not."""
    installed = installation.licences.install(file)
    user = installation.user()
    say(f"Installed {_in_words(installed)}.")
    if PREFECT in installed.users:
        warn(
            f"It names {PREFECT}: everybody who reaches the Prefect UI or its API can add and delete methods under it, "
            "and the audit log cannot say who it was. "
            f"If you do not mean that: tmm licence remove {installed.licence_id}"
        )
    _say_what_it_makes_of(user)
    try:
        installation.operating.licence_installed(
            installed.licence_id,
            key_id=installed.key_id,
            customer=installed.customer,
            users=installed.users,
            edition=installed.edition,
            not_before=installed.not_before,
            expires=installed.expires,
            by=user,
        )
    except Unreachable as error:
        warn(f"The licence is installed, and the audit log was not told. {error}")


@licence.command(short_help="Remove an installed licence.")
@click.argument("name", metavar="LICENCE", help="The licence's id, as tmm licence show gives it.")
@click.pass_obj
def remove(installation: Installation, name: str) -> None:
    """Remove an installed licence. What was done under it stays in the audit log."""
    removed = installation.licences.remove(name)
    user = installation.user()
    say(f"Removed {_in_words(removed.licence) if removed.licence else plain(removed.file)}.")
    _say_what_it_makes_of(user)
    try:
        licence_id = removed.licence.licence_id if removed.licence else removed.file
        installation.operating.licence_removed(licence_id, reason="Removed with tmm licence remove.", by=user)
    except Unreachable as error:
        warn(f"The licence is removed, and the audit log was not told. {error}")


@licence.command(short_help="Show the installed licences, and what you may do.")
@json_option
@click.pass_obj
def show(installation: Installation, json_wanted: bool) -> None:
    """Show the installed licences, whether each holds for you, and if not, why."""
    user = installation.user()
    standings = _standings(installation, user)
    if json_wanted:
        as_json(_document(user, standings))
        return
    _say_what_it_makes_of(user)
    for standing in standings:
        heading(plain(standing.file))
        holds = "yes" if standing.problem is None else f"no: it {standing.problem}"
        facts([("holds for you", holds), *_facts(standing.licence)])


def _standings(installation: Installation, user: User) -> Sequence[LicenceStanding]:
    try:
        return installation.licences.standings(user.name)
    except OSError as error:
        warn(f"{installation.settings.licences} cannot be read: {(error.strerror or str(error)).lower()}.")
        return []


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
