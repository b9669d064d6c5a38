"""Text files as people have them: compressed or not, in UTF-8, in UTF-16 as Windows writes it, or in Latin-1."""

import bz2
import codecs
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, TextIO, cast

from domain.errors import InvalidDataset

OpenText = Callable[[], AbstractContextManager[TextIO]]

_AT_ONCE = 1 << 20
_LOOKED_AT = 64 << 20
_BEGINNINGS = (
    (codecs.BOM_UTF8, "utf-8-sig", ""),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_NO_TEXT = (
    (b"\x1f\x8b", "packed: call it {name}.gz"),
    (b"BZh", "packed: call it {name}.bz2"),
    (b"\xfd7zXZ\0", "packed: call it {name}.xz"),
    (b"\x28\xb5\x2f\xfd", "packed: unpack it with zstd -d"),
    (b"PK\x03\x04", "packed: unpack it, or if it is a sheet, save that as CSV UTF-8"),
    (b"PAR1", "Parquet: call it {stem}.parquet"),
    (b"ARROW1", "Arrow: call it {stem}.arrow"),
)
"""How files begin that are no text, and what to do with them."""
# What people write with one byte beyond ASCII in Western Europe: letters, and the marks and dashes of Windows.
_ONE_BYTE = re.compile(rb"[\x80-\xff]+")
_WRITTEN = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýŒœŠšŽžŸ€‚„…‘’“”–—«»°§£©®´·¿¡º²³½µ\xa0")
_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def opened(file: Path, *, told: Callable[[str], None]) -> OpenText:
    """A way to open the file's text as often as wanted, line ends as they are; `told` hears of an unusual encoding.

    Raises `InvalidDataset` for a text whose encoding cannot be told, naming the first row that is wrong.
    """
    encoding, name = _encoding_of(file)
    if name:
        told(f"{file.name} is written in {name}, and is read so.")
    return lambda: _text(file, encoding)


@contextmanager
def _text(file: Path, encoding: str) -> Iterator[TextIO]:
    with _bytes(file) as raw, io.TextIOWrapper(raw, encoding=encoding, newline="") as text:
        try:
            yield text
        except UnicodeDecodeError as error:
            raise InvalidDataset(
                f"{file.name}: this is not the {encoding.upper()} that it begins as ({error.reason}). Save the file as "
                "UTF-8."
            ) from None


@contextmanager
def _bytes(file: Path) -> Iterator[IO[bytes]]:
    try:
        with _unpacked(file) as raw:
            yield raw
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise InvalidDataset(
            f"{file.name} cannot be unpacked ({error}). Compress it again; if it is not compressed, take "
            f"{file.suffix} off its name."
        ) from None
    except OSError as error:
        raise InvalidDataset(f"{file} cannot be read: {error.strerror or error}.") from None


def _unpacked(file: Path) -> IO[bytes]:
    """The file's bytes, as they were before it was compressed."""
    match file.suffix.lower():
        case ".gz":
            return cast("IO[bytes]", gzip.open(file, "rb"))
        case ".bz2":
            return cast("IO[bytes]", bz2.open(file, "rb"))
        case ".xz":
            return cast("IO[bytes]", lzma.open(file, "rb"))
        case _:
            return file.open("rb")


def _encoding_of(file: Path) -> tuple[str, str]:
    """Python's name of the encoding, and where it is none that everybody expects, its name for people."""
    with _bytes(file) as raw:
        head = raw.read(4096)
    for mark, encoding, name in _BEGINNINGS:
        if head.startswith(mark):
            return encoding, name
    for begins, what in _NO_TEXT:
        if head.startswith(begins):
            raise InvalidDataset(f"{file.name} is not text, it is {what.format(name=file.name, stem=file.stem)}.")
    # Rows begin with a character of ASCII: a brace, a bracket, a quotation mark or the name of a column.
    if len(head) > 1 and (head[0] == 0) != (head[1] == 0):
        return ("utf-16-be" if head[0] == 0 else "utf-16-le"), "UTF-16"
    fault = _fault_in_utf8(file)
    if fault is None:
        return "utf-8", ""
    row, is_first = fault
    if is_first and _is_western(file):
        return "cp1252", "Latin-1 (Windows-1252)"
    raise InvalidDataset(
        f"{file.name}, row {row}: this is not UTF-8 text, and not the Latin-1 or UTF-16 that is read too. "
        "Save the file as UTF-8."
    )


def _fault_in_utf8(file: Path) -> tuple[int, bool] | None:
    """The row with the first bytes that are not UTF-8, and whether none before it was beyond ASCII."""
    rows, is_ascii = 1, True
    decoder = codecs.getincrementaldecoder("utf-8")()
    with _bytes(file) as raw:
        while True:
            chunk = raw.read(_AT_ONCE)
            held = decoder.getstate()[0]
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                before = (held + chunk)[: error.start]
                return rows + before.count(b"\n"), is_ascii and before.isascii()
            if not chunk:
                return None
            rows += chunk.count(b"\n")
            is_ascii = is_ascii and chunk.isascii()


def _is_western(file: Path) -> bool:
    """Whether the bytes beyond ASCII are what Latin-1 has for letters and marks: one alone, or two in a word."""
    runs = good = 0
    with _bytes(file) as raw:
        for _ in range(_LOOKED_AT // _AT_ONCE):
            chunk = raw.read(_AT_ONCE)
            if not chunk:
                break
            for found in _ONE_BYTE.finditer(chunk):
                runs += 1
                around = chunk[max(0, found.start() - 1) : found.start()] + chunk[found.end() : found.end() + 1]
                in_words = any(byte in _LETTERS for byte in around)
                written = found.group().decode("cp1252", errors="replace")
                good += (len(written) == 1 or (len(written) == 2 and in_words)) and _WRITTEN.issuperset(written)
    return runs > 0 and good >= 0.9 * runs
