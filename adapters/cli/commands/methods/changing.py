"""`tmm add`, `tmm modify` and `tmm delete`: the catalogue's commands. Who may do what is the domain's to say."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapters.cli.commands.custom.checking import Shown
from adapters.cli.commands.methods.listing import train_line
from adapters.cli.commands.methods.option_syntax import OPTION_HELP, options_changed
from adapters.cli.context import Context
from adapters.cli.output import agreed, at_a_terminal, plain, remark, say, warn
from adapters.cli.parameters import BACKEND, METHOD_TYPE
from domain.audit.read_models import SelectableMethod
from domain.catalogue.catalogue import Action
from domain.catalogue.method_spec import MethodSpec
from domain.catalogue.options import ConfigurationOption
from domain.errors import InvalidMethod, NotFound, Refused
from domain.use_cases.custom_code import AddWithCode, PutInPlace
from domain.use_cases.methods import (
    AddMethod,
    Changed,
    DeleteMethod,
    DeletionImpact,
    MayTry,
    ModifyMethod,
    OfferedTrainers,
    ShowMethod,
)

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
    tmm: Context,
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
    user = tmm.user()
    called = name or file
    if called is None:
        raise click.UsageError("Name the new method, or give --file.")
    tried = _only_given({"file": file, "from": like, "code": code and str(code)} | given)
    read = None
    with _rights_before_reading(tmm, "add", called, tried):
        if file is not None:
            read = _read(file)
            fields = _fields_of_file(read, name)
        elif code is not None:
            fields = _given_fields(given, None)
        else:
            fields = _fields_given(tmm, called, like, given)
    added: Changed | PutInPlace
    if code is not None:
        added = tmm.do(AddWithCode(name=called, folder=code, fields=fields, listener=Shown()), by=user)
    else:
        try:
            added = tmm.do(AddMethod(fields=fields, start_from=like or ""), by=user)
        except InvalidMethod as error:
            raise (read.with_lines(error) if read is not None else error) from None
    say(f"Added {_title(added.method)}. Train with it: {train_line(added.method)}")
    warn(added.remark)


@click.command(short_help="Modify a training method.")
@click.argument("name", help="The method's internal name.")
@click.option("--file", "file", metavar="FILE", help=_FILE_HELP + " Fields that are not in it stay.")
@_field_options
@click.pass_obj
def modify(tmm: Context, /, name: str, file: str | None, **given: Any) -> None:
    """Modify a training method, by a file or by single fields.

    Everyone may shape custom01 and custom02 (display name, description, options, what they train by default); other
    fields and other methods are for commercial users.

    \b
    tmm modify custom01 --display-name 'Our tone' --option learning_rate=2e-5
    tmm modify custom01 --file custom01.yaml
    """
    if file is not None and _only_given(given):
        raise click.UsageError("Give either --file or single fields, not both.")
    user = tmm.user()
    with _rights_before_reading(tmm, "modify", name, _only_given({"file": file} | given)):
        read = _read(file) if file is not None else None
        changes = read.fields if read is not None else _fields_changed(tmm, name, given)
    if not changes:
        raise click.UsageError("Say what to change: --file, or single fields such as --display-name.")
    try:
        changed = tmm.do(ModifyMethod(name=name, changes=changes), by=user)
    except InvalidMethod as error:
        raise (read.with_lines(error) if read is not None else error) from None
    if changed.before is None or changed.method.version == changed.before.version:
        say(f"{_title(changed.method)} is already like this; nothing was changed.")
        return
    fields = [change.field for change in changed.before.spec.differences(changed.method.spec)]
    say(f"Modified {', '.join(fields)} of {_title(changed.method)}.")
    warn(changed.remark)


@click.command(short_help="Delete a training method. Commercial users only.")
@click.argument("name", help="The method's internal name.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete(tmm: Context, name: str, yes: bool) -> None:
    """Delete a training method, after showing what that affects. Commercial users only.

    Runs of it that have not started are cancelled; a run that has started goes on. Its history stays in the audit log,
    and it can be added again.
    """
    user = tmm.user()
    # Nobody is asked whether they want what they will be refused.
    if user.is_commercial:
        remark(plain(tmm.do(DeletionImpact(name=name), by=user).sentence))
        if not yes and not _confirmed(name):
            say("Nothing was deleted.")
            return
    deleted = tmm.do(DeleteMethod(name=name), by=user)
    say(f"Deleted {_title(deleted.method)}. It can no longer be chosen.")
    if deleted.cancelled:
        say(f"Cancelled {_runs(len(deleted.cancelled))} of it that had not started.")
    warn(deleted.remark)


@contextmanager
def _rights_before_reading(tmm: Context, action: Action, name: str, tried: Fields) -> Iterator[None]:
    """Read what was given inside: what is wrong with it is told to those only who may give it."""
    try:
        yield
    except Refused:
        raise
    except Exception:
        tmm.do(MayTry(action=action, name=name, tried=tried), by=tmm.user())
        raise


def _confirmed(name: str) -> bool:
    if not at_a_terminal():
        raise click.UsageError(f"Nobody can be asked here. If you mean it: tmm delete {name} --yes")
    return agreed(f"Delete {name}?")


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count or 'no'} runs"


def _title(method: SelectableMethod) -> str:
    return f"{plain(method.spec.display_name)} ({method.spec.internal_name})"


# From files and options to fields.


def _fields_of_file(file: "MethodFile", name: str | None) -> Fields:
    fields = file.fields if name is None else {"internal_name": name} | file.fields
    if name is not None and fields["internal_name"] != name:
        raise InvalidMethod(f"{file.name}: internal_name is {fields['internal_name']!r}, but you named {name!r}.")
    return fields


def _fields_given(tmm: Context, name: str, like: str | None, given: Fields) -> Fields:
    # Where options are not named, whether there is that method is for the act to see.
    copied = tmm.do(ShowMethod(name=like), by=tmm.user()).spec if like is not None and _names_options(given) else None
    if like is None and not given["trainer"]:
        raise click.UsageError("Give --trainer too, or start from a method (--from) or a file (--file).")
    return {"internal_name": name} | _given_fields(given, copied, _declared(tmm, copied, given))


def _names_options(given: Fields) -> bool:
    return bool(given["declared"] or given["removed"])


def _fields_changed(tmm: Context, name: str, given: Fields) -> Fields:
    user = tmm.user()
    try:
        present = tmm.do(ShowMethod(name=name), by=user).spec
    except NotFound:
        # Who may what comes before why it cannot be.
        changes = {field: value for field, value in _only_given(given).items() if field in MethodSpec.model_fields}
        tmm.do(ModifyMethod(name=name, changes=changes), by=user)
        raise
    return _given_fields(given, present, _declared(tmm, present, given))


def _declared(tmm: Context, present: MethodSpec | None, given: Fields) -> Sequence[ConfigurationOption]:
    """The options that the trainer declares; none for one that there is not, which the catalogue will refuse."""
    trainer = given["trainer"] or (present.trainer if present is not None else None)
    if present is not None and present.code is not None and trainer == present.trainer:
        return present.code.options
    trainers = tmm.do(OfferedTrainers(), by=tmm.user()) if given["declared"] else ()
    return next((offered.options for offered in trainers if offered.name == trainer), ())


def _read(path: str) -> "MethodFile":
    from adapters.shared.method_files import MethodFile

    return MethodFile.read(path)


def _only_given(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value not in (None, ())}


def _given_fields(given: Fields, present: MethodSpec | None, declared: Sequence[ConfigurationOption] = ()) -> Fields:
    """The fields of a spec that were given; an empty default base model or dataset means none."""
    fields = {name: value for name, value in _only_given(given).items() if name in MethodSpec.model_fields}
    for name in ("default_base_model", "default_dataset"):
        if fields.get(name) == "":
            fields[name] = None
    if _names_options(given):
        offered = present.configuration_options if present is not None else ()
        fields["configuration_options"] = options_changed(
            offered, given["declared"], given["removed"], declared=declared
        )
    return fields
