"""`tmm add`, `tmm modify` and `tmm delete`: the catalogue's commands. Who may do what is the domain's to say."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapters.cli.checking import Shown
from adapters.cli.installation import Installation
from adapters.cli.methods import train_line
from adapters.cli.option_syntax import OPTION_HELP, options_changed
from adapters.cli.output import agreed, at_a_terminal, plain, remark, say, warn
from adapters.cli.parameters import BACKEND, METHOD_TYPE
from domain.audit.read_models import SelectableMethod
from domain.catalogue.method_spec import MethodSpec
from domain.errors import InvalidMethod, RunNotFound, Unreachable
from domain.use_cases.custom_code import AddWithCode

if TYPE_CHECKING:
    from adapters.shared.method_files import MethodFile

Fields = dict[str, Any]

_FILE_HELP = "A YAML file with the method's fields; - reads standard input."


def _field_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that give single fields, for `add` and `modify` alike."""
    options = (
        click.option("--display-name", help="The name that people see, 1 to 80 characters."),
        click.option("--type", "method_type", type=METHOD_TYPE, help="The family of algorithms."),
        click.option("--description", help="What the method does, and when to choose it."),
        click.option("--trainer", help="The training code, such as sft."),
        click.option("--backend", "backends", type=BACKEND, multiple=True, help="Where it runs. Repeatable."),
        click.option("--option", "declared", multiple=True, metavar="NAME:TYPE=DEFAULT,…", help=OPTION_HELP),
        click.option(
            "--remove-option", "removed", multiple=True, metavar="NAME", help="An option to offer no more. Repeatable."
        ),
        click.option("--default-base-model", help="The base model to train unless a run names another."),
        click.option("--default-dataset", help="The dataset to train on unless a run names another."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(short_help="Add a training method. Commercial users only.")
@click.argument("name", required=False, help="The new method's internal name; it cannot be changed later.")
@click.option("--file", "file", metavar="FILE", help=_FILE_HELP)
@click.option("--from", "like", metavar="METHOD", help="A method to copy; the fields you give replace its own.")
@click.option("--code", type=click.Path(path_type=Path), metavar="FOLDER", help="A folder with code of your own.")
@_field_options
@click.pass_obj
def add(
    installation: Installation,
    /,
    name: str | None,
    file: str | None,
    like: str | None,
    code: Path | None,
    **given: Any,
) -> None:
    """Add a training method, from a file, from another method, or from single fields. Commercial users only.

    \b
    tmm add --file sft-support.yaml
    tmm add sft-support --from sft-demo --option learning_rate=2e-5
    tmm add distilled --code distilled
    tmm add sft-support --type SFT --trainer sft --backend cuda \\
        --description 'For our support team' \\
        --option 'learning_rate:number=2e-5,minimum=1e-7,maximum=1e-2,description=AdamW step size'
    """
    if file is not None and (like or code or _only_given(given)):
        raise click.UsageError("Give either --file or single fields, not both.")
    if code is not None and (like or given["trainer"]):
        raise click.UsageError("With --code, the code is the trainer: leave --from and --trainer out.")
    user = installation.user()
    called = name or file
    if called is None:
        raise click.UsageError("Name the new method, or give --file.")
    tried = _only_given({"file": file, "from": like, "code": code and str(code)} | given)
    with installation.catalogue.rights_before_values("add", called, by=user, tried=tried):
        if file is not None:
            spec = _spec_of_file(file, name)
        elif code is not None:
            fields = _given_fields(given, None)
        else:
            spec = _spec_of_fields(installation, called, like, given)
    if code is not None:
        act = AddWithCode(name=called, folder=code, fields=fields, listener=Shown())
        added = installation.do(act, by=user)
        method, lagging = added.method, added.remark
    else:
        method = installation.catalogue.add(spec, by=user)
        lagging = installation.update_prefect()
    say(f"Added {_title(method)}. Train with it: {train_line(method)}")
    warn(lagging)


@click.command(short_help="Modify a training method.")
@click.argument("name", help="The method's internal name.")
@click.option("--file", "file", metavar="FILE", help=_FILE_HELP + " Fields that are not in it stay.")
@_field_options
@click.pass_obj
def modify(installation: Installation, /, name: str, file: str | None, **given: Any) -> None:
    """Modify a training method, by a file or by single fields.

    Everyone may shape custom01 and custom02 (display name, description, options, what they train by default); other
    fields and other methods are for commercial users.

    \b
    tmm modify custom01 --display-name 'Our tone' --option learning_rate=2e-5
    tmm modify custom01 --file custom01.yaml
    """
    if file is not None and _only_given(given):
        raise click.UsageError("Give either --file or single fields, not both.")
    user = installation.user()
    before = installation.catalogue.method(name)
    with installation.catalogue.rights_before_values(
        "modify", name, by=user, tried=_only_given({"file": file} | given)
    ):
        read = _read(file) if file is not None else None
        changes = read.fields if read is not None else _given_fields(given, before.spec)
    if not changes:
        raise click.UsageError("Say what to change: --file, or single fields such as --display-name.")
    try:
        method = installation.catalogue.modify(name, changes, by=user)
    except InvalidMethod as error:
        raise (read.with_lines(error) if read is not None else error) from None
    if method.version == before.version:
        say(f"{_title(method)} is already like this; nothing was changed.")
        return
    fields = [change.field for change in before.spec.differences(method.spec)]
    say(f"Modified {', '.join(fields)} of {_title(method)}.")
    warn(installation.update_prefect())


@click.command(short_help="Delete a training method. Commercial users only.")
@click.argument("name", help="The method's internal name.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete(installation: Installation, name: str, yes: bool) -> None:
    """Delete a training method, after showing what that affects. Commercial users only.

    Runs of it that have not started are cancelled; a run that has started goes on. Its history stays in the audit log,
    and it can be added again.
    """
    user = installation.user()
    method = installation.catalogue.method(name)
    # Nobody is asked whether they want what they will be refused.
    if user.is_commercial:
        remark(plain(installation.affected_by_deleting(name)))
        if not yes and not _confirmed(name):
            say("Nothing was deleted.")
            return
    cancelled = installation.catalogue.delete(name, by=user)
    for run_id in cancelled:
        # The event store has the cancellation; Prefect shows it too, where it can be reached.
        with suppress(Unreachable, RunNotFound):
            installation.flow_runs.cancel(run_id, f"The training method {name!r} was deleted before the run started.")
    say(f"Deleted {_title(method)}. It can no longer be chosen.")
    if cancelled:
        say(f"Cancelled {_runs(len(cancelled))} of it that had not started.")
    warn(installation.update_prefect())


def _confirmed(name: str) -> bool:
    if not at_a_terminal():
        raise click.UsageError(f"Nobody can be asked here. If you mean it: tmm delete {name} --yes")
    return agreed(f"Delete {name}?")


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count or 'no'} runs"


def _title(method: SelectableMethod) -> str:
    return f"{plain(method.spec.display_name)} ({method.spec.internal_name})"


# From files and fields to specs.


def _spec_of_file(path: str, name: str | None) -> MethodSpec:
    file = _read(path)
    fields = file.fields if name is None else {"internal_name": name} | file.fields
    if name is not None and fields["internal_name"] != name:
        raise InvalidMethod(f"{file.name}: internal_name is {fields['internal_name']!r}, but you named {name!r}.")
    try:
        return MethodSpec.parse(fields)
    except InvalidMethod as error:
        raise file.with_lines(error) from None


def _spec_of_fields(installation: Installation, name: str, like: str | None, given: Fields) -> MethodSpec:
    fields: Fields = {"internal_name": name, "display_name": name}
    if like is not None:
        copied = installation.catalogue.method(like).spec
        return MethodSpec.parse(copied.model_dump(mode="json") | fields | _given_fields(given, copied))
    if missing := [flag for field, flag in _REQUIRED.items() if not given[field]]:
        raise click.UsageError(f"Give {', '.join(missing)} too, or start from a method (--from) or a file (--file).")
    return MethodSpec.parse(fields | _given_fields(given, None))


_REQUIRED = {"method_type": "--type", "trainer": "--trainer", "backends": "--backend", "description": "--description"}


def _read(path: str) -> "MethodFile":
    from adapters.shared.method_files import MethodFile

    return MethodFile.read(path)


def _only_given(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value not in (None, ())}


def _given_fields(given: Fields, present: MethodSpec | None) -> Fields:
    """The fields of a spec that were given; an empty default base model or dataset means none."""
    fields = {name: value for name, value in _only_given(given).items() if name in MethodSpec.model_fields}
    for name in ("default_base_model", "default_dataset"):
        if fields.get(name) == "":
            fields[name] = None
    if given["declared"] or given["removed"]:
        offered = present.configuration_options if present is not None else ()
        fields["configuration_options"] = options_changed(offered, given["declared"], given["removed"])
    return fields
