"""People's texts make nothing of the page in which they stand, as a real reader of markdown sees it."""

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from adapters.shared.showing.markdown import as_block, as_code, as_paragraphs, as_text
from domain.printable import printable

READERS = {name: MarkdownIt(name) for name in ("commonmark", "js-default")}
READERS["with tables and strikethrough"] = MarkdownIt("commonmark").enable(["table", "strikethrough"])
# What a text may become: itself, as text or code, in lines and paragraphs.
HARMLESS = {
    "paragraph_open",
    "paragraph_close",
    "inline",
    "text",
    "text_special",
    "code_inline",
    "softbreak",
    "hardbreak",
}

PIECES = st.sampled_from(
    [
        "![picture](http://elsewhere.example/x.png)",
        "<img src=//elsewhere.example/x>",
        "<input type=password>",
        "<script>alert(1)</script>",
        "[here](javascript:alert(1))",
        "<http://elsewhere.example>",
        "http://elsewhere.example/a_b|c",
        "www.elsewhere.example",
        "someone@elsewhere.example",
        "[1]: http://elsewhere.example",
        "[^1]",
        "# Heading",
        "Heading\n===",
        "Heading\n---",
        "- item",
        "1. item",
        "> quoted",
        "    code",
        "```\nfenced",
        "~~~",
        "`",
        "``",
        "|",
        "| a | b |\n| --- | --- |",
        "***",
        "**bold**",
        "~~gone~~",
        "&lt;b&gt;",
        "&#60;",
        "$$x$$",
        "\\",
        "\\\n",
        "\n\n",
        " ",
        "\t",
        "\x1b[31m",
        "\u2028",
        "<!--",
        "]]>",
        ":--",
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=8), max_size=8).map("".join)


def kinds(tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        yield token.type
        yield from kinds(token.children or [])


def shown(tokens: list[Token]) -> str:
    """What is read on the page."""
    parts = []
    for token in tokens:
        if token.children is not None:
            parts.append(shown(token.children))
        elif token.type in ("text", "text_special", "code_inline"):
            parts.append(token.content)
        elif token.type in ("softbreak", "hardbreak", "paragraph_close"):
            parts.append(" ")
    return "".join(parts)


def words(text: str) -> list[str]:
    return printable(text, lines=True).split()


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
@pytest.mark.parametrize("written", [as_text, as_paragraphs, as_code])
@given(text=TEXTS)
def test_a_text_is_read_as_what_was_written_and_becomes_nothing_else(
    written: Callable[[str], str], reader: MarkdownIt, text: str
) -> None:
    tokens = reader.parse(written(text))
    assert set(kinds(tokens)) <= HARMLESS
    assert shown(tokens).split() == words(text)


@pytest.mark.parametrize("written", [as_text, as_code])
@given(text=TEXTS)
def test_a_text_stays_in_its_cell_of_a_table(written: Callable[[str], str], text: str) -> None:
    reader = READERS["with tables and strikethrough"]
    tokens = reader.parse(f"| A | B |\n| --- | --- |\n| {written(text)} | x |\n| next | y |")
    assert [token.type for token in tokens].count("tr_open") == 3
    cells = [token for token in tokens if token.type == "inline"]
    assert [cell.content for cell in cells][-3:] == ["x", "next", "y"]
    assert set(kinds(cells)) <= HARMLESS
    assert shown([cells[2]]).split() == words(text)


@given(text=TEXTS)
def test_a_text_stays_in_its_heading_list_and_bold_type(text: str) -> None:
    tokens = READERS["commonmark"].parse(f"# x {as_text(text)}\n\n- x **y {as_text(text)} z** z\n\nend")
    assert [token.type for token in tokens if token.type.endswith("_open")] == [
        *("heading_open", "bullet_list_open", "list_item_open", "paragraph_open", "paragraph_open")
    ]
    assert not set(kinds(tokens)) & {"image", "link_open", "html_inline", "html_block"}


@given(text=TEXTS)
def test_a_block_holds_the_text_and_ends_after_it(text: str) -> None:
    block, end, *_ = READERS["commonmark"].parse(f"{as_block(text)}\n\nend")
    assert (block.type, block.info) == ("fence", "text")
    assert block.content == printable(text, lines=True) + "\n"
    assert end.type == "paragraph_open"


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.add(tag)


@given(text=TEXTS)
def test_nothing_but_paragraphs_and_code_comes_of_it_where_addresses_are_made_links(text: str) -> None:
    elements = _Elements()
    elements.feed(READERS["js-default"].render(as_paragraphs(text)))
    assert elements.found <= {"p", "code", "br"}


def test_plain_words_stay_readable() -> None:
    said = "SFT with our team's defaults (1 to 100), learning rate 3e-4: fast, and good!"
    assert as_text(said) == said
    assert as_text("See https://example.org/a_b now") == "See `https://example.org/a_b` now"
    assert not re.search(r"\\", as_text("well-known, e.g. 50% of it"))
