"""How results look: plain aligned text for people, one JSON document for programs.

Everything that the command line prints goes through this module, and nothing in it acts on the terminal that shows it:
names, reasons and answers are other people's. A test holds that nobody prints beside it.
"""

import csv
import io
import shutil
import sys
import textwrap
import traceback
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import click

from adapters.shared.json_text import json_text
from adapters.shared.showing import figures
from domain.printable import printable
from domain.secrets import without_secrets

if TYPE_CHECKING:
    from rich.progress import Progress

duration, figure, option_value = figures.duration, figures.figure, figures.option_value
"""Told here as at the page."""

Mark = Literal["ok", "--", "? "]

_GAP = "  "
_NARROWEST = 20
_COLOURS = {"ok": "green", "--": "red"}


def say(text: str = "", *, bold: bool = False, mark: Mark | None = None) -> None:
    """A result, on one line of standard output. What it is marked with stands before it, in its colour."""
    shown = plain(text)
    marked = "" if mark is None else click.style(mark, fg=_COLOURS.get(mark)) + _GAP
    click.echo(marked + (click.style(shown, bold=True) if bold else shown))


def say_lines(text: str) -> None:
    """A result of several lines, such as a file, on standard output."""
    click.echo(printable(text, lines=True))


def say_pieces(pieces: Iterable[tuple[str, bool]]) -> None:
    """A result of several lines, of which some parts are bold."""
    click.echo("".join(click.style(printable(text, lines=True), bold=bold) for text, bold in pieces))


def remark(text: str = "") -> None:
    """Something beside the result, on one line of standard error."""
    click.echo(plain(text), err=True)


def remark_lines(text: str) -> None:
    """Something of several lines beside the result, on standard error."""
    click.echo(printable(text, lines=True), err=True)


def warn(text: str | None) -> None:
    """A warning on standard error, if there is one."""
    if text:
        remark(f"warning: {without_secrets(text)}")


def tell_where(error: BaseException) -> None:
    """The traceback of an error, on standard error, without secrets."""
    remark_lines(without_secrets("".join(traceback.format_exception(error))).rstrip("\n"))


def as_json(document: Any) -> None:
    """The one JSON document of a command."""
    say_lines(json_text(document, indent=2))


def as_json_lines(documents: Iterable[Any]) -> None:
    """A JSON document on each line."""
    for document in documents:
        say(json_text(document))


def as_csv(rows: Iterable[Iterable[object]]) -> None:
    """Rows of CSV that neither a terminal nor a spreadsheet acts on."""
    from adapters.shared.showing.entry_documents import cell

    written = io.StringIO()
    csv.writer(written).writerows([printable(cell(value)) for value in row] for row in rows)
    click.echo(written.getvalue(), nl=False)


def at_a_terminal() -> bool:
    """Whether somebody can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def agreed(question: str) -> bool:
    """Whether the person at the terminal says yes."""
    return click.confirm(plain(question), err=True)


@contextmanager
def progress_bar() -> Iterator["Bar | None"]:
    """A bar on standard error while something goes on; None where nobody watches one."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(bar_width=28), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bar(progress)


class Bar:
    """A progress bar with words beside it."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def show(self, share: float | None, line: str) -> None:
        """`share` is what is done, from 0 to 1, or None while nothing is known of it."""
        total = None if share is None else 1.0
        self._progress.update(self._task, total=total, completed=share or 0.0, description=plain(line))


def plain(text: object) -> str:
    """Text on one line that cannot steer a terminal, whoever wrote it."""
    return printable(" ".join(str(text).replace("\r\n", "\n").replace("\t", " ").split("\n")))


def moment(when: datetime | None) -> str:
    """A time for people, in UTC to the second."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if when is not None else ""


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, clip: bool = False, indent: str = "") -> None:
    """Aligned columns. On a terminal the last column is wrapped, or with `clip` cut, to the width; never in a pipe."""
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(_width(row[column]) for row in [list(head), *cells]) for column in range(len(head))]
    offset = len(indent) + sum(width + len(_GAP) for width in widths[:-1])
    room = max(_terminal_width() - offset, _NARROWEST) if sys.stdout.isatty() else 0
    say(_line(head, widths, indent), bold=True)
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
    say(text, bold=True)


def options_in_words(options: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={option_value(value)}" for name, value in options.items())


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
