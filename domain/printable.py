"""Text from outside as it can be shown and kept: nothing in it acts on a terminal, hides, or goes on for ever."""

import unicodedata

_LINES = "\n\t"
_TURNS_THE_READING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_ENDS_A_LINE = "\u2028\u2029"


class _Escapes(dict[int, str]):
    """For `str.translate`: what acts instead of being read stands there as its escape, such as `\\x1b`."""

    def __init__(self, *, kept: str) -> None:
        super().__init__({ord(character): character for character in kept})

    def __missing__(self, code: int) -> str:
        character = chr(code)
        acts = unicodedata.category(character) in ("Cc", "Cs") or character in _TURNS_THE_READING + _ENDS_A_LINE
        self[code] = character.encode("unicode_escape").decode() if acts else character
        return self[code]


_ON_ONE_LINE = _Escapes(kept="")
_ON_LINES = _Escapes(kept=_LINES)


def printable(text: str, *, at_most: int | None = None, lines: bool = False) -> str:
    """The text with control characters, lone surrogates and what turns the reading direction as visible escapes.

    `lines` keeps line ends and tabs. Of a text longer than `at_most` characters the beginning stays, and how long it
    was is said.
    """
    if at_most is not None and len(text) > at_most:
        text = f"{text[:at_most]}… ({len(text):,} characters)"
    return text.translate(_ON_LINES if lines else _ON_ONE_LINE)
