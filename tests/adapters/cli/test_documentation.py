"""What people rely on is documented where it is defined: commands, settings, events and errors."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from adapters.cli.main_group import COMMANDS, tmm
from domain import errors
from domain.events import DomainEvent
from infra.settings import CHECKOUT, Settings

DOMAIN = [f"domain.{file.stem}" for file in sorted((CHECKOUT / "domain").glob("*.py"))]
GUIDE = "".join(
    page.read_text(encoding="utf-8")
    for page in (CHECKOUT / "README.md", *(CHECKOUT / "infra" / "guide").glob("*.md"))
    if page.name != "reference.md"
)


def commands() -> Iterator[tuple[str, click.Command]]:
    def below(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield path, command
        if isinstance(command, click.Group):
            for name, inner in command.commands.items():
                yield from below(f"{path} {name}", inner)

    with click.Context(tmm) as context:
        for name in tmm.list_commands(context):
            command = tmm.get_command(context, name)
            assert command is not None
            yield from below(f"tmm {name}", command)


@pytest.mark.parametrize(
    ("path", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_command_says_what_it_does_and_what_each_of_its_options_is(path: str, command: click.Command) -> None:
    assert command.help, path
    assert command.short_help, path
    assert command.help.splitlines()[0].strip().endswith("."), path
    for param in command.params:
        assert getattr(param, "help", None), f"{path}: {param.name}"
    with click.Context(command, info_name=path) as context:
        page = command.get_help(context)
    for param in command.params:
        if isinstance(param, click.Option) and not param.hidden:
            assert param.opts[0] in page, f"{path}: {param.name}"


def test_the_list_of_commands_says_what_the_commands_say() -> None:
    with click.Context(tmm) as context:
        for section in COMMANDS.values():
            for name, later in section.items():
                command = tmm.get_command(context, name)
                assert command is not None
                assert later.help == command.short_help, name


def test_a_setting_says_what_it_is() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_every_setting_reaches_child_processes() -> None:
    assert set(Settings().as_environment()) == {f"TMM_{name.upper()}" for name in Settings.model_fields}


def test_an_error_says_which_rule_is_broken_and_stands_in_the_tree() -> None:
    tree = inspect.getdoc(errors) or ""
    for name, error in vars(errors).items():
        if isinstance(error, type) and issubclass(error, Exception):
            assert error.__doc__, name
            assert name in tree, f"{name} is missing in the tree at the top of domain/errors.py"


def test_an_event_has_a_topic_of_its_own_that_is_no_python_path() -> None:
    for module in DOMAIN:
        import_module(module)
    topics = [topic for event in everything_below(DomainEvent) if (topic := vars(event).get("TOPIC"))]
    assert topics
    for topic in topics:
        assert topic.replace("-", "").replace(".", "").isalpha(), topic
        assert topic.count(".") == 1, topic


def everything_below(of: type) -> Iterator[type]:
    for inner in of.__subclasses__():
        yield inner
        yield from everything_below(inner)


@pytest.mark.parametrize("command", ["tmm list", "tmm show", "tmm add", "tmm modify", "tmm delete", "tmm train",
                                     "tmm audit", "tmm licence", "tmm up", "tmm worker", "tmm env", "tmm migrate",
                                     "tmm rebuild", "tmm doctor", "tmm custom", "tmm check"])  # fmt: skip
def test_a_page_shows_the_command(command: str) -> None:
    assert command in GUIDE


def test_no_page_of_ours_names_a_place_of_one_machine() -> None:
    for page in (CHECKOUT / "README.md", *(CHECKOUT / "infra").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        for place in ("/home/", "/root/", "/tmp/", str(Path.home())):
            assert place not in text or place == "/", f"{page}: {place}"
