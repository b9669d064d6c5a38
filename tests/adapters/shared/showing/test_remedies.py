"""What one can do about an error: a sentence without commands in the domain, and a command, or a link, for people."""

import ast
from collections.abc import Iterator
from pathlib import Path

from adapters.shared.showing.remedies import COMMANDS, with_remedies
from domain.errors import MethodAlreadyExists, RunNotFound
from infra.settings import CHECKOUT


def calls_of(name: str) -> Iterator[ast.Call]:
    for file in (CHECKOUT / "domain").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                yield node


def texts_of(file: Path) -> Iterator[str]:
    """The texts in a file that somebody may be told: all but those that document it."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            yield node.value


def test_every_remedy_that_the_domain_names_has_a_command() -> None:
    named = {ast.literal_eval(call.args[1]) for call in calls_of("Remedy")}
    assert named == set(COMMANDS)


def test_the_domain_says_no_command() -> None:
    said = [(file.name, text) for file in (CHECKOUT / "domain").rglob("*.py") for text in texts_of(file)]
    assert [one for one in said if "tmm " in one[1]] == []


def test_an_error_is_a_sentence_and_its_remedies_follow_as_commands() -> None:
    error = MethodAlreadyExists("mine")
    assert "tmm" not in str(error)
    assert with_remedies(error).endswith("or change the one there is. Change it with: tmm modify mine")
    assert with_remedies(RunNotFound("x")) == "There is no training run x. List the ones there are with: tmm runs"
