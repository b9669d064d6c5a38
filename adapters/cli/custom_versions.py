"""What a method trained with before, and code that was only kept: listed, shown, compared and put back."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from adapters.cli.code_folders import folder_argument
from adapters.cli.installation import Installation
from adapters.cli.output import as_json, heading, moment, plain, remark, say, say_lines, table, warn
from adapters.cli.parameters import json_option
from domain.audit.read_models import MethodVersion, SelectableMethod
from domain.catalogue.method_spec import MethodSpec
from domain.errors import InvalidMethod
from domain.ports import KeptCode

_PUT_BACK = ("code", "trainer", "backends", "configuration_options", "default_base_model", "default_dataset")
_OF_VERSION = "A version as tmm custom versions lists them, or the beginning of a code's hash"


@click.command(short_help="List what a method trained with, from its first version on.")
@click.argument("name", help="The method's internal name.")
@json_option
@click.pass_obj
def versions(installation: Installation, name: str, json_wanted: bool) -> None:
    """List the versions of a method with the code that each trained with, and code that was only kept."""
    found = installation.catalogue.versions(name)
    kept = installation.workshop.kept_aside(name)
    if json_wanted:
        as_json([_version_document(version) for version in found] + [_kept_document(code) for code in kept])
        return
    table(
        ("VERSION", "FROM (UTC)", "BY", "CODE"),
        [(v.version, moment(v.at), v.by, code_in_words(v.spec)) for v in found]
        + [
            ("none", moment(k.at), k.by, f"the code {k.hash[:12]}, not selectable (broken: {_broken(k)})") for k in kept
        ],
    )


@click.command(short_help="Show a method's code.")
@click.argument("name", help="The method's internal name.")
@click.option("--version", help=f"{_OF_VERSION}; else the present one.")
@click.pass_obj
def show(installation: Installation, name: str, version: str | None) -> None:
    """Show the files of a method's code."""
    for path, text in _files(installation, name, version).items():
        heading(path)
        say_lines(text.removesuffix("\n"))


@click.command(short_help="Compare a method's code with another version, or with a folder.")
@click.argument("name", help="The method's internal name.")
@click.option("--version", help=f"{_OF_VERSION}, to begin from; else the present one.")
@click.option("--with", "other", metavar="VERSION", help="The version to compare it with.")
@click.option("--folder", type=folder_argument, help="The folder to compare it with; else ./NAME")
@click.pass_obj
def diff(installation: Installation, name: str, version: str | None, other: str | None, folder: Path | None) -> None:
    """Compare a method's code with another version of it, or with the code in a folder, line by line."""
    before = _files(installation, name, version)
    after = _files(installation, name, other) if other else installation.workshop.files_in(folder or Path(name))
    same = True
    for path in sorted({*before, *after}):
        lines = difflib.unified_diff(
            before.get(path, "").splitlines(), after.get(path, "").splitlines(), f"a/{path}", f"b/{path}", lineterm=""
        )
        for line in lines:
            same = False
            say_lines(line)
    if same:
        remark("They are the same.")


@click.command(short_help="Put an older version's code back, or bring it into a folder.")
@click.argument("name", help="The method's internal name.")
@click.argument("version", help=f"{_OF_VERSION}.")
@click.option("--to", "folder", type=folder_argument, metavar="FOLDER", help="Only write the code there, to edit it.")
@click.pass_obj
def restore(installation: Installation, name: str, version: str, folder: Path | None) -> None:
    """Put an older version back: its code, or its trainer if it had none, with the options that it offered.

    Code that breaks the contract is not put back; --to brings it into a folder, where it can be mended.
    """
    before = installation.catalogue.method(name)
    found = _found(installation, name, version)
    if folder is not None:
        installation.workshop.bring(_code_of(found, name), folder)
        shown = plain(folder)
        say(f"Brought the code into {shown}. Put it in place with: tmm custom save {name} --from {shown}")
        return
    if isinstance(found, KeptCode):
        raise InvalidMethod(
            f"The code {found.hash[:12]} breaks the contract ({_broken(found)}), so {name} cannot train with it. Bring "
            f"it into a folder and mend it: tmm custom restore {name} {found.hash[:12]} --to FOLDER"
        )
    wanted = found.spec.model_dump(mode="json")
    method = installation.catalogue.modify(name, {field: wanted[field] for field in _PUT_BACK}, by=installation.user())
    if method.version == before.version:
        say(f"{title(method)} is as version {found.version} was already; nothing was changed.")
        return
    say(f"{title(method)} trains with {code_in_words(method.spec)} again.")
    warn(installation.update_prefect())


def code_in_words(spec: MethodSpec) -> str:
    """What a method trains with, for a sentence."""
    return f"the code {spec.code.hash[:12]}" if spec.code else f"the trainer {spec.trainer}"


def title(method: SelectableMethod) -> str:
    """A method by both its names."""
    return f"{plain(method.spec.display_name)} ({method.spec.internal_name})"


def _found(installation: Installation, name: str, version: str | None) -> MethodVersion | KeptCode:
    """The version of this number, or what has code of this hash: the newest version before what was only kept."""
    found = installation.catalogue.versions(name)
    if version is None:
        return found[-1]
    for candidate in found:
        if str(candidate.version) == version:
            return candidate
    for candidate in reversed(found):
        if len(version) >= _SHORTEST_HASH and candidate.spec.code and candidate.spec.code.hash.startswith(version):
            return candidate
    for kept in installation.workshop.kept_aside(name):
        if len(version) >= _SHORTEST_HASH and kept.hash.startswith(version):
            return kept
    raise InvalidMethod(f"{name} has no version {version}. List the ones it has with: tmm custom versions {name}")


_SHORTEST_HASH = 6


def _files(installation: Installation, name: str, version: str | None) -> Mapping[str, str]:
    return installation.workshop.files(_code_of(_found(installation, name, version), name))


def _code_of(found: MethodVersion | KeptCode, name: str) -> str:
    """The hash of its code. Raises `InvalidMethod` for a version that had none of its own."""
    if isinstance(found, KeptCode):
        return found.hash
    if found.spec.code is None:
        raise InvalidMethod(
            f"Version {found.version} of {name} has no code of its own: it trains with {found.spec.trainer}. "
            f"Begin with: tmm custom new {name}"
        )
    return found.spec.code.hash


def _version_document(version: MethodVersion) -> dict[str, Any]:
    return {
        "version": version.version,
        "at": version.at.isoformat(),
        "by": version.by,
        "trainer": version.spec.trainer,
        "code": version.spec.code.hash if version.spec.code else None,
        "breaks": [],
    }


def _kept_document(kept: KeptCode) -> dict[str, Any]:
    return {
        "version": None,
        "at": kept.at.isoformat(),
        "by": kept.by,
        "trainer": None,
        "code": kept.hash,
        "breaks": list(kept.broken),
    }


def _broken(kept: KeptCode) -> str:
    return plain("; ".join(kept.broken[:2]) + ("; …" if len(kept.broken) > 2 else ""))
