"""What a method trained with before, and code that was only kept: listed, shown, compared and put back."""

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from adapters.cli.context import Context
from adapters.cli.output import as_json, heading, moment, plain, remark, say, say_lines, table, warn
from adapters.cli.parameters import folder_argument, json_option
from domain.audit.read_models import MethodVersion, SelectableMethod
from domain.catalogue.method_spec import MethodSpec
from domain.errors import CodeNotPutBack, InvalidMethod, NoCodeOfItsOwn, NoSuchVersion
from domain.ports import KeptCode
from domain.use_cases.custom_code import BringCode, CodeFiles, CodeVersions, FolderFiles, RestoreCode

_OF_VERSION = "A version as tmm custom versions lists them, or the beginning of a code's hash"


@click.command(short_help="List what a method trained with, from its first version on.")
@click.argument("name", help="The method's internal name.")
@json_option
@click.pass_obj
def versions(tmm: Context, name: str, json_wanted: bool) -> None:
    """List the versions of a method with the code that each trained with, and code that was only kept."""
    kept = tmm.do(CodeVersions(name=name), by=tmm.user())
    if json_wanted:
        as_json([_version_document(version) for version in kept.versions] + [_kept_document(k) for k in kept.aside])
        return
    table(
        ("VERSION", "FROM (UTC)", "BY", "CODE"),
        [(v.version, moment(v.at), v.by, code_in_words(v.spec)) for v in kept.versions]
        + [
            ("none", moment(k.at), k.by, f"the code {k.hash[:12]}, not selectable (broken: {_broken(k)})")
            for k in kept.aside
        ],
    )


@click.command(short_help="Show a method's code.")
@click.argument("name", help="The method's internal name.")
@click.option("--version", help=f"{_OF_VERSION}; else the present one.")
@click.pass_obj
def show(tmm: Context, name: str, version: str | None) -> None:
    """Show the files of a method's code."""
    for path, text in _files(tmm, name, version).items():
        heading(path)
        say_lines(text.removesuffix("\n"))


@click.command(short_help="Compare a method's code with another version, or with a folder.")
@click.argument("name", help="The method's internal name.")
@click.option("--version", help=f"{_OF_VERSION}, to begin from; else the present one.")
@click.option("--with", "other", metavar="VERSION", help="The version to compare it with.")
@click.option("--folder", type=folder_argument, help="The folder to compare it with; else ./NAME")
@click.pass_obj
def diff(tmm: Context, name: str, version: str | None, other: str | None, folder: Path | None) -> None:
    """Compare a method's code with another version of it, or with the code in a folder, line by line."""
    before = _files(tmm, name, version)
    after = _files(tmm, name, other) if other else tmm.do(FolderFiles(folder=folder or Path(name)), by=tmm.user())
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
def restore(tmm: Context, name: str, version: str, folder: Path | None) -> None:
    """Put an older version back: its code, or its trainer if it had none, with the options that it offered.

    Code that breaks the contract is not put back; --to brings it into a folder, where it can be mended.
    """
    if folder is not None:
        with _saying_what_to_do():
            tmm.do(BringCode(name=name, version=version, folder=folder), by=tmm.user())
        shown = plain(folder)
        say(f"Brought the code into {shown}. Put it in place with: tmm custom save {name} --from {shown}")
        return
    with _saying_what_to_do():
        restored = tmm.do(RestoreCode(name=name, version=version), by=tmm.user())
    if not restored.changed:
        say(f"{title(restored.method)} is as version {restored.version} was already; nothing was changed.")
        return
    say(f"{title(restored.method)} trains with {code_in_words(restored.method.spec)} again.")
    warn(restored.remark)


def code_in_words(spec: MethodSpec) -> str:
    """What a method trains with, for a sentence."""
    return f"the code {spec.code.hash[:12]}" if spec.code else f"the trainer {spec.trainer}"


def title(method: SelectableMethod) -> str:
    """A method by both its names."""
    return f"{plain(method.spec.display_name)} ({method.spec.internal_name})"


def _files(tmm: Context, name: str, version: str | None) -> Mapping[str, str]:
    with _saying_what_to_do():
        return tmm.do(CodeFiles(name=name, version=version), by=tmm.user())


@contextmanager
def _saying_what_to_do() -> Iterator[None]:
    """What is wrong with a version, with the command that helps."""
    try:
        yield
    except NoSuchVersion as error:
        raise InvalidMethod(f"{error} List the ones it has with: tmm custom versions {error.name}") from None
    except NoCodeOfItsOwn as error:
        raise InvalidMethod(f"{error} Begin with: tmm custom new {error.name}") from None
    except CodeNotPutBack as error:
        mend = f"tmm custom restore {error.name} {error.code_hash[:12]} --to FOLDER"
        raise InvalidMethod(f"{error} Bring it into a folder and mend it: {mend}") from None


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
