"""`tmm custom` and `tmm check`: training logic of one's own, from a template to a method that can be chosen."""

from collections.abc import Mapping
from pathlib import Path

import click

from adapters.cli.checking import check, checked
from adapters.cli.code_folders import CODE_FILE, METHOD_FILE, code_fields, fields_of, folder_argument
from adapters.cli.custom_versions import diff, restore, show, title, versions
from adapters.cli.installation import Installation
from adapters.cli.methods import train_line
from adapters.cli.output import plain, remark, say, tell_where, warn
from adapters.cli.parameters import BACKEND
from domain.catalogue.method_spec import Backend
from domain.catalogue.training_method import TEMPLATES
from domain.errors import CustomCodeFailed, InvalidMethod

__all__ = ["check", "custom"]


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
    except Exception as error:
        tell_where(error)
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
    user, folder = installation.user(), folder or Path(name)
    before = installation.catalogue.method(name)
    tried = {"code": str(folder)}
    with installation.catalogue.rights_before_values("modify", name, by=user, tried=tried):
        fields = fields_of(folder, name, present=before.spec)
    installation.catalogue.must_be_allowed(
        "modify", name, by=user, tried=fields | tried
    )  # before the code is tried, or kept
    if broken := checked(installation, folder, fields, force=force):
        kept = installation.workshop.keep_aside(
            name, folder, broken=[finding.claim for finding in broken], by=user.name
        )
        say(f"Kept the code as {kept.hash[:12]}, which is not selectable: {name} trains as before.")
        say(f"Bring it back with: tmm custom restore {name} {kept.hash[:12]} --to FOLDER")
        return
    code = installation.workshop.keep(folder, backends=fields["backends"])
    method = installation.catalogue.modify(name, fields | code_fields(code, fields), by=user)
    if method.version == before.version:
        say(f"{title(method)} trains with this code already; nothing was changed.")
        return
    say(f"{title(method)} trains with the code {code.hash[:12]} now. Train with it: {train_line(method)}")
    warn(installation.update_prefect())


for command in (versions, show, diff, restore):
    custom.add_command(command)
