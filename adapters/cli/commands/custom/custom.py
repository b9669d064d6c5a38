"""`tmm custom` and `tmm check`: training logic of one's own, from a template to a method that can be chosen."""

from collections.abc import Mapping
from pathlib import Path

import click

from adapters.cli.commands.custom.checking import Shown
from adapters.cli.commands.custom.versions import code_in_words, diff, restore, show, title, versions
from adapters.cli.commands.methods.listing import train_line
from adapters.cli.context import Context
from adapters.cli.output import plain, remark, say, tell_where, warn
from adapters.cli.parameters import BACKEND, folder_argument
from domain.catalogue.method_spec import Backend
from domain.catalogue.training_method import TEMPLATES
from domain.errors import CodeBreaksContract, CustomCodeFailed
from domain.use_cases.custom_code import NewCode, RunHere, SaveCode


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
def new(tmm: Context, name: str, backend: Backend | None, template: str | None, folder: Path | None) -> None:
    """Begin with a copy of a template: a training loop that works, its method file, a test and a page to read."""
    act = NewCode(name=name, folder=folder or Path(name), backend=backend, template=template)
    made = tmm.do(act, by=tmm.user())
    shown = plain(made.folder)
    say(f"Made {shown} for {made.backend}. Edit {shown}/method.py; {shown}/method.yaml is what people see.")
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
    tmm: Context,
    folder: Path,
    backend: Backend | None,
    dataset: str | None,
    settings: tuple[str, ...],
    out: Path,
) -> None:
    """Train with a folder's code in this very process: prints are seen, breakpoint() works, errors show where.

    Nothing of it reaches the catalogue or the log. From checkpoints that lie in the output folder it goes on.
    """
    options = dict(_typed(setting) for setting in settings)
    act = RunHere(folder=folder, out=out, progress=_Printed(), options=options, backend=backend, dataset=dataset)
    try:
        result = tmm.do(act, by=tmm.user())
    except CustomCodeFailed as error:
        if error.__cause__ is None:
            raise
        tell_where(error.__cause__)
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
def save(tmm: Context, name: str, folder: Path | None, force: bool) -> None:
    """Check code, keep it where every worker finds it, and let the method train with it from now on.

    Runs that have started go on with the code that they began with. Everyone may do this with custom01 and custom02;
    with other methods, commercial users.
    """
    act = SaveCode(name=name, folder=folder or Path(name), force=force, listener=Shown())
    try:
        saved = tmm.do(act, by=tmm.user())
    except CodeBreaksContract as error:
        raise CustomCodeFailed(f"{error} Or keep it as it is, not selectable, with --force.") from None
    if (kept := saved.kept_aside) is not None:
        say(f"Kept the code as {kept.hash[:12]}, which is not selectable: {name} trains as before.")
        say(f"Bring it back with: tmm custom restore {name} {kept.hash[:12]} --to FOLDER")
    elif not saved.changed:
        say(f"{title(saved.method)} trains with this code already; nothing was changed.")
    else:
        trains = f"{title(saved.method)} trains with {code_in_words(saved.method.spec)} now."
        say(f"{trains} Train with it: {train_line(saved.method)}")
        warn(saved.remark)


for command in (versions, show, diff, restore):
    custom.add_command(command)
