"""`tmm check`: whether training code keeps the contract, before it is saved and at any time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from adapters.cli.code_folders import CODE_FILE, fields_of
from adapters.cli.installation import Installation
from adapters.cli.output import Mark, as_json, plain, remark, say
from adapters.cli.parameters import BACKEND, json_option
from domain.catalogue.method_spec import Backend
from domain.errors import CustomCodeFailed, InvalidMethod
from domain.ports import Finding


@click.command(short_help="Try whether training code keeps the contract.")
@click.argument("name_or_folder", help="A method's internal name, or a folder with method.py.")
@click.option("--backend", type=BACKEND, help="Where to try it; else every backend that it names and this machine has.")
@json_option
@click.pass_obj
def check(installation: Installation, name_or_folder: str, backend: Backend | None, json_wanted: bool) -> None:
    """Try every claim of the contract of training code, with a few steps on the small base model.

    Exit code 6 when one is broken. A folder of this name is taken before a method of it.
    """
    folder = Path(name_or_folder)
    findings: list[Finding] = []

    def told(finding: Finding) -> None:
        findings.append(finding)
        if not json_wanted:
            _show(finding)

    if (folder / CODE_FILE).is_file():
        fields = fields_of(folder, folder.absolute().name, present=None)
        for where in _tried_on(installation, [backend] if backend else fields["backends"]):
            dataset = fields.get("default_dataset") or "sft-demo"
            installation.workshop.check(folder, backend=where, dataset=dataset, told=told)
    elif folder.is_dir():
        raise InvalidMethod(f"{plain(folder)} has no {CODE_FILE}, which holds a method's Options and train.")
    else:
        spec = installation.catalogue.method(name_or_folder).spec
        for where in _tried_on(installation, [backend] if backend else spec.backends):
            installation.workshop.check_method(spec, backend=where, told=told)
    broken = [finding for finding in findings if finding.verdict == "broken"]
    if json_wanted:
        as_json([{"claim": f.claim, "verdict": f.verdict, "words": f.words} for f in findings])
    if broken:
        raise CustomCodeFailed(f"It breaks {_claims(len(broken))} of the contract: {_named(broken)}.")
    if not json_wanted:
        say("It keeps the contract.")


def checked(installation: Installation, folder: Path, fields: Mapping[str, Any], *, force: bool) -> list[Finding]:
    """The claims that the folder's code breaks. Raises `CustomCodeFailed` if there are any, unless `force` is given."""
    findings: list[Finding] = []

    def told(finding: Finding) -> None:
        findings.append(finding)
        if finding.verdict == "broken":
            _show(finding)

    for backend in _tried_on(installation, fields["backends"]):
        if installation.workshop.was_checked(folder, backend=backend):
            continue
        remark(f"Checking {plain(folder)} on {backend} …")
        dataset = fields.get("default_dataset") or "sft-demo"
        installation.workshop.check(folder, backend=backend, dataset=dataset, told=told)
    broken = [finding for finding in findings if finding.verdict == "broken"]
    if broken and not force:
        raise CustomCodeFailed(
            f"The code breaks {_claims(len(broken))} of the contract ({_named(broken)}), so it was not saved. Mend it, "
            "or keep it as it is, not selectable, with --force."
        )
    return broken


def _tried_on(installation: Installation, backends: Sequence[Backend]) -> list[Backend]:
    here = [backend for backend in backends if backend in installation.settings.backends]
    if missing := [backend for backend in backends if backend not in here]:
        remark(f"This machine has no {' and no '.join(missing)}: there it is not tried.")
    if not here:
        raise InvalidMethod(f"None of its backends ({', '.join(backends)}) is on this machine, so it cannot be tried.")
    return here


def _show(finding: Finding) -> None:
    marks: dict[str, Mark] = {"kept": "ok", "broken": "--"}
    say(f"{finding.claim}: {finding.words}", mark=marks.get(finding.verdict, "? "))


def _claims(count: int) -> str:
    return "1 claim" if count == 1 else f"{count} claims"


def _named(broken: Sequence[Finding]) -> str:
    return "; ".join(plain(finding.claim) for finding in broken[:3]) + ("; …" if len(broken) > 3 else "")
