"""Writes the parts of the guide that say what the code says: `python -m infra.guide.generate`.

A page marks such a part by `<!-- generated: NAME -->` and `<!-- end -->`; a test holds them to what the code says now.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from adapters import trainers
from adapters.cli.main_group import COMMANDS, tmm
from adapters.preflight.shapes import shapes_taken
from domain import errors
from domain.audit.projections import changes_of  # noqa: F401 -- with it every kind of event is known
from domain.events import Aggregate, Created, DomainEvent
from infra.settings import Settings

FOLDER = Path(__file__).parent
_PART = re.compile(r"(?<=<!-- generated: )(\w+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)
_BASES = (DomainEvent, Aggregate.Event, Created)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def trainers_told() -> str:
    """A section for each trainer: what it does, its loss and paper, the rows it takes, and its options."""
    sections = []
    for name, declared in trainers.declarations().items():
        told = inspect.cleandoc(inspect.getdoc(trainers.load(name)) or "")
        rows = "; or ".join(f"`{shape.value}`" for shape in shapes_taken(declared.method_types))
        options = [
            [f"`{option.name}`", f"`{option.default}`", option.limits, option.description]
            for option in declared.options
        ]
        sections.append(
            f"### {name}\n\n{declared.summary}. On {' and '.join(declared.backends)}, for methods of type "
            f"{' or '.join(declared.method_types)}.\n\n{told}\n\nRows with {rows}.\n\n"
            + table(("Option", "Default", "Limits", "Meaning"), options)
        )
    return "\n".join(sections)


def commands_told() -> str:
    """Every command with its arguments and options."""
    sections = []
    with click.Context(tmm) as context:
        for title, section in COMMANDS.items():
            sections.append(f"## {title}\n")
            for name in section:
                command = tmm.get_command(context, name)
                assert command is not None
                sections += [_command_told(path, each) for path, each in _with_inner(f"tmm {name}", command)]
    return "\n".join(sections)


def _with_inner(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _with_inner(f"{path} {name}", inner)


def _command_told(path: str, command: click.Command) -> str:
    help_text = inspect.cleandoc(command.help or "")
    examples = re.findall(r"\x08\n(.*?)(?:\n\n|$)", help_text, re.DOTALL)
    said = re.sub(r"\x08\n.*?(\n\n|$)", "", help_text, flags=re.DOTALL).strip()
    shown = "".join(f"\n```\n{example}\n```\n" for example in examples)
    rows = [
        [f"`{_spelled(param)}`", getattr(param, "help", "") or ""]
        for param in command.params
        if not getattr(param, "hidden", False) and param.name != "help"
    ]
    options = "\n" + table(("Given", "Meaning"), rows) if rows else ""
    return f"### {path}\n\n{said}\n{shown}{options}"


def _spelled(param: click.Parameter) -> str:
    if isinstance(param, click.Argument):
        return (param.name or "").upper()
    return ", ".join(param.opts) + (f" {param.metavar}" if param.metavar else "")


def settings_told() -> str:
    """Every setting of the environment."""
    rows = [[f"`TMM_{name.upper()}`", field.description or ""] for name, field in Settings.model_fields.items()]
    return table(("Variable", "Meaning"), rows)


def events_told() -> str:
    """Every kind of event, by the topic under which it is stored, with the fields that are its own."""
    kinds = sorted(_kinds(DomainEvent), key=lambda kind: str(kind.TOPIC))
    common = {name for base in _BASES for name in base.model_fields}
    rows = [
        [
            f"`{kind.TOPIC}`",
            f"`{kind.__qualname__.rpartition('.')[2]}`",
            " ".join((inspect.getdoc(kind) or "").split()) if "__doc__" in vars(kind) and kind.__doc__ else "",
            ", ".join(f"`{name}`" for name in kind.model_fields if name not in common),
        ]
        for kind in kinds
    ]
    return table(("Topic", "Event", "Says", "Fields"), rows)


def _kinds(of: type[Any]) -> Iterator[Any]:
    for kind in of.__subclasses__():
        if "TOPIC" in vars(kind) and kind.__module__.startswith("domain."):
            yield kind
        yield from _kinds(kind)


def errors_told() -> str:
    """The errors as a tree, and what each says."""
    rows = [
        [f"`{name}`", " ".join((inspect.getdoc(error) or "").split())]
        for name, error in vars(errors).items()
        if isinstance(error, type) and issubclass(error, Exception)
    ]
    return table(("Error", "Says"), rows)


PARTS: dict[str, Callable[[], str]] = {
    "trainers": trainers_told,
    "commands": commands_told,
    "settings": settings_told,
    "events": events_told,
    "errors": errors_told,
}


def with_parts(page: str) -> str:
    """A page with its generated parts as the code says them now."""
    return _PART.sub(lambda found: f"{found[1]}{found[2]}\n{PARTS[found[1]]()}\n", page)


def main() -> None:
    for file in sorted(FOLDER.glob("*.md")):
        file.write_text(with_parts(file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
