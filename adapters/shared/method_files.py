"""Method files: YAML as people write it, with the file and the line of what is wrong."""

import re
import sys
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from domain.catalogue.method_spec import LARGEST_METHOD
from domain.errors import InvalidMethod

_LARGEST = 5 * LARGEST_METHOD
"""Bytes, comments and all."""

Place = tuple[str, ...]


class MethodFile:
    """The fields of a method file, and the line of each."""

    def __init__(self, name: str, fields: dict[str, Any], lines: dict[Place, int]) -> None:
        self.name = name
        self.fields = fields
        self._lines = lines

    @classmethod
    def read(cls, path: str) -> "MethodFile":
        """The file at this path, or standard input for «-». Raises `InvalidMethod` naming file and line."""
        name = "standard input" if path == "-" else path
        try:
            content = sys.stdin.buffer.read(_LARGEST + 1) if path == "-" else _content(Path(path))
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InvalidMethod(f"{name} is not UTF-8 text, so it cannot be read as a method file.") from None
        except OSError as error:
            raise InvalidMethod(f"{name} cannot be read: {(error.strerror or str(error)).lower()}.") from None
        if len(content) > _LARGEST:
            raise InvalidMethod(f"{name} is larger than {_LARGEST // 1000} kB, which no method file is.")
        try:
            loader = _Loader(text)
            node = loader.get_single_node()
            if not isinstance(node, yaml.MappingNode):
                raise InvalidMethod(f"{name} must hold fields such as «internal_name: my-method», one a line.")
            return cls(name, loader.construct_document(node), dict(_lines_of(node)))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = f", line {mark.line + 1}" if mark else ""
            raise InvalidMethod(f"{name}{line}: {error.problem or error.context}.") from None
        except yaml.YAMLError as error:
            raise InvalidMethod(f"{name}: {_first_line(error)}.") from None
        except (RecursionError, ValueError):
            raise InvalidMethod(
                f"{name} is nested too deeply, or holds a number too long, for a method file."
            ) from None

    def with_lines(self, error: InvalidMethod) -> InvalidMethod:
        """The same error with this file's name, and the line of every field that it names."""
        return InvalidMethod(f"{self.name}: " + re.sub(r"(^|; )([a-z_]+(?:\.\w+)*): ", self._with_line, str(error)))

    def _with_line(self, match: re.Match[str]) -> str:
        place: Place = tuple(match[2].split("."))
        while place and place not in self._lines:
            place = place[:-1]
        line = f"line {self._lines[place]}, " if place else ""
        return f"{match[1]}{line}{match[2]}: "


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST + 1)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].removesuffix(".")


def _lines_of(node: yaml.Node, place: Place = ()) -> list[tuple[Place, int]]:
    lines = [(place, node.start_mark.line + 1)] if place else []
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            lines += [*_lines_of(value, inner), (inner, key.start_mark.line + 1)]
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines += _lines_of(value, (*place, str(index)))
    return lines


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain meanings, and nothing that could surprise.

    A number is written as people write it (2e-5 is one, in YAML 1.1 it is text), only true and false are booleans (a
    choice may be called «on» or «no»), dates stay text, a field stands once, and there are no aliases, through which a
    small file could become a huge value.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 -- PyYAML's own attribute

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML has no types here
            raise ComposerError(None, None, "aliases (* and &) are not used in method files", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConstructorError(None, None, "a field's name must be a plain word", key.start_mark)
            if key.value in seen:
                raise ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ("~", "n", "N", "")),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))
_Loader.add_constructor("tag:yaml.org,2002:float", lambda _, node: float(node.value))
