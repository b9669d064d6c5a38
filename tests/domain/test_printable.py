"""Text from outside is shown and kept as something that is only read."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from domain.printable import printable


@given(st.text(st.characters(codec=None)))
def test_nothing_that_acts_on_a_terminal_is_left(text: str) -> None:
    shown = printable(text)
    shown.encode("utf-8")  # raises for a lone surrogate
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in shown)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_what_is_only_read_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_an_escape_stands_there_to_be_read() -> None:
    assert printable("a\x1b[31mb\x07\u202ec\ud800") == r"a\x1b[31mb\x07\u202ec\ud800"


def test_line_ends_and_tabs_stay_where_text_has_lines() -> None:
    assert printable("a\n\tb\r", lines=True) == "a\n\tb\\r"
    assert printable("a\n\tb") == r"a\n\tb"


def test_of_a_long_text_the_beginning_stays_and_its_length_is_said() -> None:
    assert printable("x" * 5000, at_most=3) == "xxx… (5,000 characters)"
    assert printable("xxx", at_most=3) == "xxx"
