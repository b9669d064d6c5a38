"""JSON whose text acts on nothing that shows it."""

import json
from typing import Any

from domain.printable import printable


class _Escapes(dict[int, str]):
    """For `str.translate`: a character that acts instead of being read, as JSON's own escape."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = character if printable(character, lines=True) == character else f"\\u{code:04x}"
        return self[code]


_ESCAPES = _Escapes()


def json_text(document: Any, *, indent: int | None = None) -> str:
    """A document as JSON; what JSON leaves bare in a string (C1, marks of direction, line ends) is escaped too."""
    # Outside of strings there is nothing but what JSON's grammar has, and line ends between.
    return json.dumps(document, ensure_ascii=False, indent=indent).translate(_ESCAPES)
