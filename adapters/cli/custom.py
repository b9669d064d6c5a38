"""`tmm custom` and `tmm check`: training logic of one's own, from a template to a method that can be chosen."""

import difflib
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from adapters.cli.installation import Installation
from adapters.cli.method_files import MethodFile
from adapters.cli.methods import train_line
from adapters.cli.output import as_json, heading, moment, plain, remark, say, table, warn
from adapters.cli.parameters import BACKEND, json_option
from domain.errors import CustomCodeFailed, InvalidMethod
from domain.method_spec import CUSTOM, Backend, MethodCode, MethodSpec
from domain.ports import Finding
from domain.read_models import MethodVersion, SelectableMethod
from domain.training_method import TEMPLATES

METHOD_FILE = "method.yaml"
CODE_FILE = "method.py"
_PUT_BACK = ("code", "trainer", "backends", "configuration_options", "default_base_model", "default_dataset")

folder_argument = click.Path(path_type=Path, file_okay=False)


@click.group(short_help="Make a method's own code, put it in place, show, compare and restore it.")
def custom() -> None:
    """Make a method's own code, put it in place, show, compare and restore it.

    Everyone does this with custom01 and custom02; commercial users also add methods of their own, with
    tmm add NAME --code FOLDER.

    \b
    tmm custom new custom01      # a folder with a training loop that works: edit it
    tmm check custom01           # does it keep the contract?
    tmm custom save custom01     # now it is what custom01 trains with
    tmm train custom01
    """


@custom.command(short_help="Begin with a copy of a template.")
@click.argument("name", help="The method that it is for: custom01, custom02, or one that you will add.")
@click.option("--backend", type=BACKEND, help="Where it will train; else the first backend of this machine.")
@click.option("--template", metavar="NAME", help="The template to copy; else the one of this name, or custom01.")
@click.option("--to", "folder", type=folder_argument, metavar="FOLDER", help="Where it goes; else ./NAME")
@click.pass_obj
def new(
    installation: Installation, name: str, backend: Backend | None, template: str | None, folder: Path | None
) -> None:
    """Begin with a copy of a template: a training loop that works, its method file, a test and a page to read."""
    workshop, folder = installation.workshop, folder or Path(name)
    backend = backend or installation.settings.backends[0]
    template = template or (name if name in workshop.templates() else "custom01")
    workshop.new(name, template=template, backend=backend, folder=folder)
    shown = plain(folder)
    say(f"Made {shown} for {backend}. Edit {shown}/{CODE_FILE}; {shown}/{METHOD_FILE} is what people see.")
    say(f"Then: tmm check {shown}")
    if name in TEMPLATES:
        say(f"      tmm custom save {name} --from {shown}")
    else:
        say(f"      tmm add {name} --code {shown}")


@custom.command("run", short_help="Train here and now, where a debugger can follow.")
@click.argument("folder", type=folder_argument, help="The folder with method.py.")
@click.option("--backend", type=BACKEND, help="Where to train; else the first that the method file names.")
@click.option("--dataset", metavar="PATH_OR_ID", help="What to train on; else what the method file names.")
@click.option("--set", "settings", multiple=True, metavar="OPTION=VALUE", help="A value for an option. Repeatable.")
@click.option("--out", type=folder_argument, default=Path("trained-here"), show_default=True, help="Where it writes.")
@click.pass_obj
def run_here(
    installation: Installation,
    folder: Path,
    backend: Backend | None,
    dataset: str | None,
    settings: tuple[str, ...],
    out: Path,
) -> None:
    """Train with a folder's code in this very process: prints are seen, breakpoint() works, errors show where.

    Nothing of it reaches the catalogue or the log. From checkpoints that lie in the output folder it goes on.
    """
    if not (folder / CODE_FILE).is_file():
        raise InvalidMethod(f"{plain(folder)} has no {CODE_FILE}, which holds a method's Options and train.")
    fields = fields_of(folder, folder.absolute().name, present=None)
    try:
        result = installation.workshop.run_here(
            folder,
            dict(_typed(setting) for setting in settings),
            backend=backend or fields["backends"][0],
            dataset=dataset or fields.get("default_dataset") or "sft-demo",
            out=out,
            progress=_Printed(),
        )
    except Exception:
        traceback.print_exc()
        raise CustomCodeFailed(
            f"The code in {plain(folder)} did not come to its end; its traceback is above."
        ) from None
    say(f"Trained {result.steps} steps; the {'adapter' if result.is_adapter else 'model'} is in {plain(result.folder)}")


class _Printed:
    """Progress as lines, one a step."""

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        remark(f"step {step} of {total}  " + "  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))


def _typed(setting: str) -> tuple[str, str]:
    name, equals, value = setting.partition("=")
    if not name or not equals:
        raise click.UsageError(f"--set {setting!r} must read OPTION=VALUE.")
    return name, value  # the method's own pydantic model gives it its type


@custom.command(short_help="Put code in place: from now on the method trains with it.")
@click.argument("name", help="The method's internal name.")
@click.option("--from", "folder", type=folder_argument, metavar="FOLDER", help="Where the code is; else ./NAME")
@click.option("--force", is_flag=True, help="Keep code that breaks the contract, not selectable.")
@click.pass_obj
def save(installation: Installation, name: str, folder: Path | None, force: bool) -> None:
    """Check code, keep it where every worker finds it, and let the method train with it from now on.

    Runs that have started go on with the code that they began with. Everyone may do this with custom01 and custom02;
    with other methods, commercial users.
    """
    service, user, folder = installation.service, installation.user(), folder or Path(name)
    before = service.selectable_method(name)
    if name not in TEMPLATES and not user.is_commercial:
        service.modify_method(name, {"description": f"With the code in {folder}"}, by=user)  # is refused, and recorded
    fields = fields_of(folder, name, present=before.spec)
    if not checked(installation, folder, fields, force=force):
        kept = installation.workshop.keep(folder, backends=fields["backends"])
        say(f"Kept the code as {kept.hash[:12]}, which is not selectable: {name} trains as before.")
        return
    code = installation.workshop.keep(folder, backends=fields["backends"])
    method = service.modify_method(name, fields | code_fields(code, fields), by=user)
    if method.version == before.version:
        say(f"{_title(method)} trains with this code already; nothing was changed.")
        return
    say(f"{_title(method)} trains with the code {code.hash[:12]} now. Train with it: {train_line(method)}")
    warn(installation.update_prefect())


@custom.command(short_help="List what a method trained with, from its first version on.")
@click.argument("name", help="The method's internal name.")
@json_option
@click.pass_obj
def versions(installation: Installation, name: str, json_wanted: bool) -> None:
    """List the versions of a method with the code that each trained with."""
    found = installation.service.method_versions(name)
    if json_wanted:
        as_json([_version_document(version) for version in found])
        return
    table(
        ("VERSION", "FROM (UTC)", "BY", "CODE"),
        [(v.version, moment(v.at), v.by, _code_in_words(v.spec)) for v in found],
    )


@custom.command(short_help="Show a method's code.")
@click.argument("name", help="The method's internal name.")
@click.option("--version", type=int, help="A version as tmm custom versions lists them; else the present one.")
@click.pass_obj
def show(installation: Installation, name: str, version: int | None) -> None:
    """Show the files of a method's code."""
    for path, text in _files(installation, name, version).items():
        heading(plain(path))
        say("\n".join(plain(line) for line in text.splitlines()))


@custom.command(short_help="Compare a method's code with another version, or with a folder.")
@click.argument("name", help="The method's internal name.")
@click.option("--version", type=int, help="The version to begin from; else the present one.")
@click.option("--with", "other", type=int, metavar="VERSION", help="The version to compare it with.")
@click.option("--folder", type=folder_argument, help="The folder to compare it with; else ./NAME")
@click.pass_obj
def diff(installation: Installation, name: str, version: int | None, other: int | None, folder: Path | None) -> None:
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
            say(plain(line))
    if same:
        remark("They are the same.")


@custom.command(short_help="Put an older version's code back.")
@click.argument("name", help="The method's internal name.")
@click.argument("version", type=int, help="A version as tmm custom versions lists them.")
@click.pass_obj
def restore(installation: Installation, name: str, version: int) -> None:
    """Put an older version back: its code, or its trainer if it had none, with the options that it offered."""
    service = installation.service
    before = service.selectable_method(name)
    wanted = _version(installation, name, version).spec.model_dump(mode="json")
    method = service.modify_method(name, {field: wanted[field] for field in _PUT_BACK}, by=installation.user())
    if method.version == before.version:
        say(f"{_title(method)} is as version {version} was already; nothing was changed.")
        return
    say(f"{_title(method)} trains with {_code_in_words(method.spec)} again.")
    warn(installation.update_prefect())


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
        spec = installation.service.selectable_method(name_or_folder).spec
        for where in _tried_on(installation, [backend] if backend else spec.backends):
            installation.workshop.check_method(spec, backend=where, told=told)
    broken = [finding for finding in findings if finding.verdict == "broken"]
    if json_wanted:
        as_json([{"claim": f.claim, "verdict": f.verdict, "words": f.words} for f in findings])
    if broken:
        raise CustomCodeFailed(f"It breaks {_claims(len(broken))} of the contract: {_named(broken)}.")
    if not json_wanted:
        say("It keeps the contract.")


# What `tmm add --code` uses too.


def fields_of(folder: Path, name: str, *, present: MethodSpec | None) -> dict[str, Any]:
    """The fields of a spec that the folder's method file gives; backends always. Raises `InvalidMethod`."""
    path = folder / METHOD_FILE
    fields: dict[str, Any] = {}
    if path.is_file():
        file = MethodFile.read(str(path))
        fields = dict(file.fields)
        for theirs in ("code", "trainer"):
            if theirs in fields:
                raise InvalidMethod(f"{path}: {theirs} cannot be given here; it is the code in {CODE_FILE}.")
        if present is not None and fields.setdefault("internal_name", name) != name:
            raise InvalidMethod(f"{path}: internal_name is {fields['internal_name']!r}, but you named {name!r}.")
    backends = fields.get("backends", list(present.backends) if present else ["cuda"])
    try:
        fields["backends"] = [Backend(backend) for backend in backends]
    except (TypeError, ValueError):
        raise InvalidMethod(f"{path}: backends must be a list of cuda and mlx, not {backends!r}.") from None
    if path.is_file():
        try:
            MethodSpec.parse(_NAMELESS | fields)  # before anybody waits for the check
        except InvalidMethod as error:
            raise file.with_lines(error) from None
    return fields


_NAMELESS = {
    "internal_name": "any",
    "display_name": "Any",
    "method_type": "OTHER",
    "description": "…",
    "trainer": "any",
}


def code_fields(code: MethodCode, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that follow from code. It offers all that it declares, unless the method file says what."""
    offered = [option.model_dump(mode="json", exclude_none=True) for option in code.options]
    return {
        "code": code.model_dump(mode="json"),
        "trainer": CUSTOM,
        "configuration_options": fields.get("configuration_options", offered),
    }


def checked(installation: Installation, folder: Path, fields: Mapping[str, Any], *, force: bool) -> bool:
    """Whether the folder's code keeps the contract. Raises `CustomCodeFailed` if not, unless `force` is given."""
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
    return not broken


def _tried_on(installation: Installation, backends: Sequence[Backend]) -> list[Backend]:
    here = [backend for backend in backends if backend in installation.settings.backends]
    if missing := [backend for backend in backends if backend not in here]:
        remark(f"This machine has no {' and no '.join(missing)}: there it is not tried.")
    if not here:
        raise InvalidMethod(f"None of its backends ({', '.join(backends)}) is on this machine, so it cannot be tried.")
    return here


def _show(finding: Finding) -> None:
    mark = {"kept": click.style("ok", fg="green"), "broken": click.style("--", fg="red")}.get(finding.verdict, "? ")
    say(f"{mark}  {plain(finding.claim)}: {plain(finding.words)}")


def _claims(count: int) -> str:
    return "1 claim" if count == 1 else f"{count} claims"


def _named(broken: Sequence[Finding]) -> str:
    return "; ".join(plain(finding.claim) for finding in broken[:3]) + ("; …" if len(broken) > 3 else "")


def _version(installation: Installation, name: str, version: int | None) -> MethodVersion:
    found = installation.service.method_versions(name)
    if version is None:
        return found[-1]
    for candidate in found:
        if candidate.version == version:
            return candidate
    raise InvalidMethod(f"{name} has no version {version}. List the ones it has with: tmm custom versions {name}")


def _files(installation: Installation, name: str, version: int | None) -> Mapping[str, str]:
    found = _version(installation, name, version)
    if found.spec.code is None:
        raise InvalidMethod(
            f"Version {found.version} of {name} has no code of its own: it trains with {found.spec.trainer}. "
            f"Begin with: tmm custom new {name}"
        )
    return installation.workshop.files(found.spec.code.hash)


def _version_document(version: MethodVersion) -> dict[str, Any]:
    return {
        "version": version.version,
        "at": version.at.isoformat(),
        "by": version.by,
        "trainer": version.spec.trainer,
        "code": version.spec.code.hash if version.spec.code else None,
    }


def _code_in_words(spec: MethodSpec) -> str:
    return f"the code {spec.code.hash[:12]}" if spec.code else f"the trainer {spec.trainer}"


def _title(method: SelectableMethod) -> str:
    return f"{plain(method.spec.display_name)} ({method.spec.internal_name})"
