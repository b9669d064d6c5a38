"""The `tmm` group: its commands by name, loaded when they are used, and the one place where errors become words."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from adapters.cli.context import Context


class Later(NamedTuple):
    """A command that is imported when it is used: where it lies among the commands, and its line in `tmm --help`."""

    module: str
    attribute: str
    help: str


COMMANDS: dict[str, dict[str, Later]] = {
    "Methods": {
        "list": Later("methods.listing", "list_methods", "List the methods that can be chosen for a training."),
        "show": Later("methods.listing", "show", "Show one method with its options, limits, history and runs."),
        "add": Later("methods.changing", "add", "Add a training method. Commercial users only."),
        "modify": Later("methods.changing", "modify", "Modify a training method."),
        "delete": Later("methods.changing", "delete", "Delete a training method. Commercial users only."),
        "can": Later("methods.may", "can", "Say beforehand whether you may add, delete or modify a method."),
    },
    "Your own training logic": {
        "custom": Later(
            "custom.custom", "custom", "Make a method's own code, put it in place, show, compare and restore it."
        ),
        "check": Later("custom.checking", "check", "Try whether training code keeps the contract."),
    },
    "Training": {
        "train": Later("trainings.training", "train", "Train with a method and follow the run."),
        "runs": Later("trainings.runs", "runs", "List training runs, show one, or compare two."),
        "cancel": Later("trainings.runs", "cancel", "Cancel a training run."),
        "ask": Later("trainings.asking", "ask", "Put a question to the base model and to a run's result."),
        "measure": Later(
            "trainings.measuring", "measure", "Measure a completed run that was stored without being measured."
        ),
        "export": Later("trainings.exporting", "export", "Write a run's model as one folder for other programs."),
        "resume": Later("trainings.training", "resume", "Let an interrupted run go on from its newest checkpoint."),
        "rerun": Later("trainings.rerunning", "rerun", "Repeat a run from the log, and say whether its curve agrees."),
    },
    "Audit and licences": {
        "audit": Later("audit.entries", "audit", "Query the audit log."),
        "token": Later("audit.token", "token", "Let a program act for a person, for a short time and one command."),
        "licence": Later("audit.licence", "licence", "Issue, trust, install and show licences."),
    },
    "Operations": {
        "demo": Later("operating.operations", "demo", "Go from nothing to a trained model, in one terminal."),
        "up": Later("operating.operations", "up", "Run the page, the Prefect server and workers until interrupted."),
        "web": Later("operating.operations", "web", "Serve the Training Methods page, or print an address of it."),
        "worker": Later("operating.operations", "worker", "Run this machine's workers until interrupted."),
        "env": Later("operating.operations", "env", "Print the lines with which programs reach Prefect."),
        "pools": Later("operating.pools", "pools", "Show the work pools and their queues; pause and resume them."),
        "migrate": Later("operating.operations", "migrate", "Create the tables and install the preinstalled methods."),
        "rebuild": Later("operating.operations", "rebuild", "Drop the views and replay the log into them."),
        "doctor": Later("operating.operations", "doctor", "Show every setting and check what is needed."),
    },
}


class Commands(click.Group):
    """A group that imports a command's module only when that command is used."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._later = {name: later for section in COMMANDS.values() for name, later in section.items()}
        # Stand-ins, for the suggestions that click makes for a mistyped name.
        self.commands = {name: click.Command(name, help=later.help) for name, later in self._later.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._later)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if (later := self._later.get(cmd_name)) is None:
            return None
        command: click.Command = getattr(import_module(f"adapters.cli.commands.{later.module}"), later.attribute)
        _let_debug_follow(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, later.help) for name, later in section.items()])


def _remember_debug(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and (installation := ctx.find_object(_WhenAsked)):
        installation.debug = True


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import PackageNotFoundError, version

        from adapters.cli.output import say

        with suppress(PackageNotFoundError):
            say(f"tmm {version('training-method-management')}")
        ctx.exit()


def _debug_option(*, hidden: bool) -> click.Option:
    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        hidden=hidden,
        callback=_remember_debug,
        help="Show the traceback of an error.",
    )


def _let_debug_follow(command: click.Command) -> None:
    """`--debug` is also understood after a command: that is where people append it."""
    if not any(param.name == "debug" for param in command.params):
        command.params.append(_debug_option(hidden=True))
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _let_debug_follow(inner)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    params=[_debug_option(hidden=False)],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version.",
)
@click.pass_context
def tmm(ctx: click.Context) -> None:
    """Manage training methods, and train with them.

    A method in the list is what can be chosen for a training. Adding and deleting methods is for commercial users;
    everybody can train, query the audit log, and shape custom01 and custom02.
    """
    if ctx.invoked_subcommand is None:
        from adapters.cli.output import say_lines

        say_lines(ctx.get_help())


class _WhenAsked:
    """The installation, made when a command first asks something of it: a help page needs none."""

    def __init__(self, make: "Callable[[], Context]") -> None:
        self._make = make
        self.made: Context | None = None
        self.debug = False

    def __getattr__(self, name: str) -> Any:
        if self.made is None:
            self.made = self._make()
        return getattr(self.made, name)


def run(make_installation: "Callable[[], Context]", args: Sequence[str] | None = None) -> int:
    """Carry out one command line (without the program's name); its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # An answer whose characters the terminal cannot show is better than none.
            stream.reconfigure(errors="backslashreplace")
    installation = _WhenAsked(make_installation)
    try:
        code = _carry_out(list(sys.argv[1:] if args is None else args), installation)
        sys.stdout.flush()
    except SystemExit:
        code = 0  # so click ends a command whose output nobody reads any more, as in `tmm audit | head`
    except BaseException as error:  # Ctrl-C too: the words and the exit code are ours
        from adapters.cli.errors import tell

        if (made := installation.made) is None:
            code = tell(error, debug=installation.debug)
        else:
            code = tell(error, explain=made.explain, shown=made.shown, debug=installation.debug)
    finally:
        if installation.made is not None:
            with suppress(Exception):  # all is said and stored by now
                installation.made.close()
    return code


def _carry_out(args: list[str], installation: _WhenAsked) -> int:
    for arg in args:
        try:
            arg.encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"The argument {arg!r} is not UTF-8 text.") from None
    color = False if os.environ.get("NO_COLOR") else None
    ended = tmm.main(args, prog_name="tmm", standalone_mode=False, obj=installation, color=color)
    return ended if isinstance(ended, int) else 0
