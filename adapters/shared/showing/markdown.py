"""People's texts in markdown: each stands there as the text that it is, and makes nothing of the page.

No image, link, heading or HTML comes of them, in whatever dialect a page is shown: what has a meaning in markdown is
escaped, and what readers of markdown make links of by themselves (addresses) stands as code.
"""

import re

from domain.printable import printable

# Within a line; the rest of ASCII's punctuation means something at its beginning only.
_MEANS_SOMETHING = re.compile(r"[\\`*_\[\]<>|~&$]")
_BEGINS_A_BLOCK = re.compile(r"^(?:#|=|[-+:](?=\s|-|$)|\d{1,9}(?=[.)](?:\s|$)))")
_ADDRESS = re.compile(r"[^\s|]*(?:://|www\.|@|mailto:|xmpp:)[^\s|]*", re.IGNORECASE)


def as_text(text: object) -> str:
    """Text on one line, which may stand in a paragraph, a list, a heading or a table's cell."""
    line = _on_one_line(text)
    shown = []
    end = 0
    for address in _ADDRESS.finditer(line):
        shown += [_escaped(line[end : address.start()]), as_code(address[0])]
        end = address.end()
    shown.append(_escaped(line[end:]))
    return _BEGINS_A_BLOCK.sub(_escaped_beginning, "".join(shown))


def as_paragraphs(text: str) -> str:
    """Text with its line ends and its empty lines."""
    lines = printable(text.replace("\r\n", "\n"), lines=True).strip()
    paragraphs = re.split(r"\n\s*\n", lines)
    # A backslash at the end of a line keeps the line's end.
    return "\n\n".join("\\\n".join(as_text(line) for line in one.split("\n")) for one in paragraphs)


def as_code(text: object) -> str:
    """Text on one line in the letters of code; in those of text where a table's cell would end in it."""
    line = _on_one_line(text)
    if not line or "|" in line:
        return as_text(line)
    fence = _fence(line, shortest=1)
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"


def as_block(text: str, language: str = "text") -> str:
    """Text as it is, over several lines."""
    fence = _fence(text, shortest=3)
    return f"{fence}{language}\n{printable(text, lines=True)}\n{fence}"


def _on_one_line(text: object) -> str:
    return " ".join(printable(str(text), lines=True).split())


def _escaped(text: str) -> str:
    return _MEANS_SOMETHING.sub(r"\\\g<0>", text)


def _escaped_beginning(found: "re.Match[str]") -> str:
    return f"\\{found[0]}" if not found[0].isdigit() else f"{found[0]}\\"


def _fence(text: str, *, shortest: int) -> str:
    """Backticks that no run of backticks in the text can close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    return "`" * max(shortest, longest + 1)
