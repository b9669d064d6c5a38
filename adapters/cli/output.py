"""How results look: plain aligned text for people, one JSON document for programs."""

import json
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from domain.secrets import without_secrets

_GAP = "  "
_NARROWEST = 20


def say(text: str = "") -> None:
    """A result, on standard output."""
    click.echo(text)


def remark(text: str) -> None:
    """Something beside the result, on standard error."""
    click.echo(text, err=True)


def warn(text: str | None) -> None:
    """A warning on standard error, if there is one."""
    if text:
        remark(f"warning: {plain(without_secrets(text))}")


def as_json(document: Any) -> None:
    """The one JSON document of a command."""
    say(json.dumps(document, ensure_ascii=False, indent=2))


def at_a_terminal() -> bool:
    """Whether somebody can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def plain(text: object) -> str:
    """Text on one line that cannot steer a terminal, whoever wrote it."""
    return "".join(
        " " if character in "\n\t\r" else "\N{REPLACEMENT CHARACTER}" if _steers(character) else character
        for character in str(text)
    )


def _steers(character: str) -> bool:
    # Control characters, and the marks that turn the direction of writing.
    return (
        unicodedata.category(character) == "Cc" or character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )


def moment(when: datetime | None) -> str:
    """A time for people, in UTC to the second."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if when is not None else ""


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, clip: bool = False, indent: str = "") -> None:
    """Aligned columns. On a terminal the last column is wrapped, or with `clip` cut, to the width; never in a pipe."""
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(_width(row[column]) for row in [list(head), *cells]) for column in range(len(head))]
    offset = len(indent) + sum(width + len(_GAP) for width in widths[:-1])
    room = max(_terminal_width() - offset, _NARROWEST) if sys.stdout.isatty() else 0
    say(click.style(_line(head, widths, indent), bold=True))
    for row in cells:
        last = [row[-1]]
        if room and _width(row[-1]) > room:
            last = [_cut(row[-1], room)] if clip else textwrap.wrap(row[-1], room) or [""]
        say(_line([*row[:-1], last[0]], widths, indent))
        for more in last[1:]:
            say(" " * offset + more)


def facts(pairs: Sequence[tuple[str, object]], *, indent: str = "") -> None:
    """A name and a value on each line; values that are empty are left out."""
    shown = [(name, plain(value)) for name, value in pairs if value not in (None, "", (), [])]
    width = max((len(name) for name, _ in shown), default=0)
    offset = len(indent) + width + len(_GAP)
    room = max(_terminal_width() - offset, _NARROWEST) if sys.stdout.isatty() else 0
    for name, value in shown:
        lines = textwrap.wrap(value, room, break_long_words=False, break_on_hyphens=False) if room else [value]
        say(f"{indent}{name:{width}}{_GAP}{lines[0]}")
        for more in lines[1:]:
            say(" " * offset + more)


def heading(text: str) -> None:
    say()
    say(click.style(text, bold=True))


def figure(name: str, value: float) -> str:
    """A measure: a loss as a number, everything else, being a share, in per cent."""
    return f"{value:.3f}" if "loss" in name or "perplexity" in name else f"{value:.1%}"


def option_value(value: object) -> str:
    """An option's value as it would be typed after `--set name=`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def options_in_words(options: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={option_value(value)}" for name, value in options.items())


def duration(seconds: float) -> str:
    """«12.3 s», «4 min 05 s», «2 h 03 min»."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _terminal_width() -> int:
    return shutil.get_terminal_size().columns


def _line(row: Sequence[str], widths: Sequence[int], indent: str) -> str:
    padded = [cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
    return (indent + _GAP.join(padded)).rstrip()


def _width(text: str) -> int:
    """Columns that a terminal needs for a text: Chinese, Japanese and Korean characters take two."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _cut(text: str, room: int) -> str:
    while _width(text) > room - 1:
        text = text[:-1]
    return text + "…"
