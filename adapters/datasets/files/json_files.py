"""Rows in JSON, one object a line or all in one document, read piece by piece so that no file is too large."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TextIO

from adapters.datasets.files.raw_rows import RawRow
from domain.errors import InvalidDataset

OpenText = Callable[[], AbstractContextManager[TextIO]]

_AT_ONCE = 1 << 20
_ADVICE = "Save the file again as JSON, or as JSONL with one object a line."


def rows_in_lines(text: OpenText, name: str) -> Iterator[RawRow]:
    """A row a line; blank lines count and are none."""
    with text() as lines:
        for number, line in enumerate(_lines_of(lines), start=1):
            if line.strip():
                place = f"{name}, row {number}"
                yield _row(_parsed(line, place), place, line)


def rows_in_document(text: OpenText, name: str) -> Iterator[RawRow]:
    """A list of objects, or an object of which one value is such a list, as exports have it: {"data": […]}.

    Files that call themselves JSON and have one object a line are read as such.
    """
    with text() as opened:
        document = _Document(opened, name)
        if document.has_object_a_line():
            yield from rows_in_lines(text, name)
            return
        if (first := document.peek()) == "[":
            yield from _rows_in_list(document, name)
        elif first == "{":
            yield from _rows_in_wrapper(document, name)
        elif first:
            document.value()
            raise _no_list(name, is_table=False)
        if document.peek():
            raise document.wrong("Extra data")


def _rows_in_list(document: "_Document", name: str, *, is_wrapped: bool = False) -> Iterator[RawRow]:
    for number, _ in enumerate(document.elements(), start=1):
        place = f"{name}, row {number}"
        value = document.value()
        if is_wrapped and not isinstance(value, dict):
            raise _no_list(name, is_table=True)
        yield _row(value, place, document.last)


def _rows_in_wrapper(document: "_Document", name: str) -> Iterator[RawRow]:
    lists = with_objects = 0
    for _ in document.members():
        if document.peek() != "[":
            with_objects += isinstance(document.value(), dict)
            continue
        lists += 1
        if lists > 1:
            raise _no_list(name, is_table=False)
        yield from _rows_in_list(document, name, is_wrapped=True)
    if lists != 1:
        raise _no_list(name, is_table=with_objects > 1)


def _no_list(name: str, *, is_table: bool) -> InvalidDataset:
    how = (
        'A table of pandas is saved row by row with to_json(file, orient="records", lines=True).'
        if is_table
        else "Save each list as a file of its own: train.jsonl and test.jsonl in one folder."
    )
    return InvalidDataset(f"{name} must hold a list of rows: [{{…}}, {{…}}]. {how}")


class _Document:
    """A JSON document that is read piece by piece: the text that is at hand, and the place up to which it is read."""

    def __init__(self, text: TextIO, name: str) -> None:
        self._text, self._name = text, name
        self._buffer, self._at, self._before, self._is_whole = "", 0, 0, False
        self.last = ""
        self._more()

    def has_object_a_line(self) -> bool:
        """Whether the first line is an object by itself, and another one follows."""
        first, _, rest = self._buffer.lstrip().partition("\n")
        if not first.lstrip().startswith("{") or not rest.lstrip().startswith("{"):
            return False
        try:
            return isinstance(json.loads(first), dict)
        except (ValueError, RecursionError):
            return False

    def peek(self) -> str:
        """The next character that is no white space; nothing at the end."""
        while True:
            while self._at < len(self._buffer) and self._buffer[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._buffer) or self._is_whole:
                return self._buffer[self._at : self._at + 1]
            self._more()

    def elements(self) -> Iterator[None]:
        """Stands before each element of the list that begins here, which is then to be read."""
        yield from self._parts("[", "]")

    def members(self) -> Iterator[None]:
        """Stands before each value of the object that begins here, which is then to be read."""
        for _ in self._parts("{", "}"):
            if self.peek() != '"':
                raise self.wrong("Expecting property name enclosed in double quotes")
            self.value()
            self._take(":")
            yield

    def value(self) -> Any:
        """The value that begins here; its text is `last`."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                # A text that is not whole yet breaks off at its end, or in a string that began anywhere before it.
                is_cut = error.pos >= len(self._buffer) - _LONGEST_WORD or error.msg.startswith("Unterminated string")
                if self._is_whole or not is_cut:
                    raise self.wrong(error.msg, error.pos) from None
            except ValueError as error:
                raise InvalidDataset(f"{self._name}: {error}") from None
            except RecursionError:
                raise InvalidDataset(f"{self._name}: {_TOO_DEEP}") from None
            else:
                if end < len(self._buffer) or self._is_whole:
                    self.last, self._at = self._buffer[self._at : end], end
                    return value
            self._more()

    def wrong(self, what: str, at: int | None = None) -> InvalidDataset:
        at = self._at if at is None else at
        return InvalidDataset(
            f"{self._name}: this is not JSON ({what} at character {self._before + at + 1}). {_ADVICE}"
        )

    def _parts(self, begin: str, end: str) -> Iterator[None]:
        self._take(begin)
        if self.peek() == end:
            self._take(end)
            return
        while True:
            yield
            if self.peek() == end:
                self._take(end)
                return
            self._take(",")

    def _take(self, character: str) -> None:
        if self.peek() != character:
            raise self.wrong(f"Expecting {character!r}")
        self._at += 1

    def _more(self) -> None:
        self._before += self._at
        # As much again as is at hand: a value that is longer than that is not tried over and over.
        kept = self._buffer[self._at :]
        read = self._text.read(max(_AT_ONCE, len(kept)))
        self._buffer, self._at, self._is_whole = kept + read, 0, not read


def _lines_of(text: TextIO) -> Iterator[str]:
    """The text's lines, which end with a line feed alone: the other ends of lines may stand in a JSON text."""
    kept: list[str] = []
    while piece := text.read(_AT_ONCE):
        first, *others = piece.split("\n")
        kept.append(first)
        for line in others:
            yield "".join(kept)
            kept = [line]
    yield "".join(kept)


def _parsed(text: str, place: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidDataset(
            f"{place}: this is not JSON ({error.msg} at character {error.pos + 1}). {_way_out(text)}"
        ) from None
    except ValueError as error:
        raise InvalidDataset(f"{place}: {error}") from None
    except RecursionError:
        raise InvalidDataset(f"{place}: {_TOO_DEEP}") from None


def _way_out(line: str) -> str:
    return _PRETTY if line.strip() in ("[", "{", "[{") else "Write one JSON object a line."


def _row(value: Any, place: str, text: str) -> RawRow:
    if not isinstance(value, dict):
        raise InvalidDataset(
            f"{place}: a row is a JSON object with columns, not {_ARTICLES.get(type(value), 'this')}."
            f"{_way_out_of_list(value) if isinstance(value, list) else ''}"
        )
    if "\\u" in text:
        _must_be_characters(value, place)
    return RawRow(place, value)


def _way_out_of_list(value: list[Any]) -> str:
    """Lines that are conversations, or a whole document in one line."""
    if not value or not isinstance(value[0], dict):
        return ""
    if {"role", "from"} & value[0].keys():
        return ' A conversation stands in a column: {"messages": […]}.'
    return " If the file is one list of rows, give it the suffix .json."


def _must_be_characters(fields: dict[str, Any], place: str) -> None:
    """JSON can write halves of characters, which no tokenizer and no file can hold."""
    for column, value in fields.items():
        try:
            json.dumps([column, value], ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = ord(error.object[error.start])
            raise InvalidDataset(
                f"{place}, column {column.encode(errors='replace').decode()!r}: \\u{half:04x} is half a character (a "
                "lone surrogate). Write the whole character, or remove it."
            ) from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise ValueError(f"column {name!r} stands there twice. Keep one of them.")
        fields[name] = value
    return fields


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number. Leave the value out or write a number.")


_DECODER = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
_TOO_DEEP = "the JSON is nested too deeply. Write plain columns."
_PRETTY = "The file is one JSON document over several lines: give it the suffix .json."
# -Infinity, false, and \uXXXX\uXXXX may be cut at the end of what is at hand.
_LONGEST_WORD = 16
_ARTICLES = {list: "a list", str: "text", int: "a number", float: "a number", bool: "true or false", type(None): "null"}
