"""`tmm check`: whether training code keeps the contract, before it is saved and at any time."""

from collections.abc import Sequence
from pathlib import Path

import click

from adapters.cli.context import Context
from adapters.cli.output import Mark, as_json, plain, remark, say
from adapters.cli.parameters import BACKEND, json_option
from domain.catalogue.method_spec import Backend
from domain.errors import CustomCodeFailed
from domain.ports import Finding
from domain.use_cases.custom_code import CheckFolder, CheckMethod


class Shown:
    """Shows findings as they come, unless `quietly`."""

    def __init__(self, *, quietly: bool = False) -> None:
        self._quietly = quietly

    def found(self, finding: Finding) -> None:
        if not self._quietly:
            marks: dict[str, Mark] = {"kept": "ok", "broken": "--"}
            say(f"{finding.claim}: {finding.words}", mark=marks.get(finding.verdict, "? "))

    def told(self, words: str) -> None:
        remark(plain(words))


@click.command(short_help="Try whether training code keeps the contract.")
@click.argument("name_or_folder", help="A method's internal name, or a folder with method.py.")
@click.option("--backend", type=BACKEND, help="Where to try it; else every backend that it names and this machine has.")
@json_option
@click.pass_obj
def check(tmm: Context, name_or_folder: str, backend: Backend | None, json_wanted: bool) -> None:
    """Try every claim of the contract of training code, with a few steps on the small base model.

    Exit code 6 when one is broken. A folder of this name is taken before a method of it.
    """
    shown = Shown(quietly=json_wanted)
    if Path(name_or_folder).is_dir():
        folder = CheckFolder(folder=Path(name_or_folder), backend=backend, listener=shown)
        findings = tmm.do(folder, by=tmm.user())
    else:
        findings = tmm.do(CheckMethod(name=name_or_folder, backend=backend, listener=shown), by=tmm.user())
    if json_wanted:
        as_json([{"claim": f.claim, "verdict": f.verdict, "words": f.words} for f in findings])
    if broken := [finding for finding in findings if finding.verdict == "broken"]:
        raise CustomCodeFailed(f"It breaks {_claims(len(broken))} of the contract: {_named(broken)}.")
    if not json_wanted:
        say("It keeps the contract.")


def _claims(count: int) -> str:
    return "1 claim" if count == 1 else f"{count} claims"


def _named(broken: Sequence[Finding]) -> str:
    return "; ".join(plain(finding.claim) for finding in broken[:3]) + ("; …" if len(broken) > 3 else "")
