"""The house keeps its rules: no circle of files, and nothing larger than one can hold in one's head."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from infra.settings import CHECKOUT

TOP = ("domain", "flows", "adapters", "infra")
LONGEST_FILE, FULLEST_FOLDER, MOST_METHODS = 400, 15, 20


@cache
def sources() -> dict[str, Path]:
    """Every module of the service by its name; templates are what people begin from, and import nothing of ours."""
    found = {}
    for top in TOP:
        for file in sorted((CHECKOUT / top).rglob("*.py")):
            parts = file.relative_to(CHECKOUT).with_suffix("").parts
            if "templates" not in parts:
                found[".".join(parts).removesuffix(".__init__")] = file
    return found


def imports_of(module: str) -> Iterator[str]:
    """The modules of ours that this one imports anywhere in its file, for types alone too."""
    for node in ast.walk(ast.parse(sources()[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in sources())
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if (found := inner if inner in sources() else node.module) in sources():
                    yield found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that reach one another, as Tarjan finds them."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        stack.append(module)
        for other in graph[module]:
            if other not in number:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], number[other])
        if lowest[module] == number[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in graph:
        if module not in number:
            visit(module)
    return found


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
    assert circles({"a": {"b"}, "b": set()}) == []


def test_no_files_import_one_another_in_a_circle_for_types_alone_neither() -> None:
    assert circles({module: set(imports_of(module)) for module in sources()}) == []


def test_no_file_is_too_long() -> None:
    lines = {module: len(file.read_text(encoding="utf-8").splitlines()) for module, file in sources().items()}
    assert {module: count for module, count in lines.items() if count > LONGEST_FILE} == {}


def test_no_folder_is_too_full() -> None:
    folders = {file.parent for file in sources().values()}
    counts = {str(folder.relative_to(CHECKOUT)): len([*folder.glob("*.py")]) for folder in folders}
    assert {folder: count for folder, count in counts.items() if count > FULLEST_FOLDER} == {}


def test_no_class_offers_too_much() -> None:
    # What somebody is made of, as properties, is not what they offer.
    wide = {}
    for module, file in sources().items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                methods = [part for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]
                public = [m.name for m in methods if not m.name.startswith("_") and not _is_property(m)]
                if len(public) > MOST_METHODS:
                    wide[f"{module}.{node.name}"] = len(public)
    assert wide == {}


def _is_property(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    names = {decorator.id for decorator in method.decorator_list if isinstance(decorator, ast.Name)}
    return bool(names & {"property", "cached_property"})
