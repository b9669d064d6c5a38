"""JSON for people's terminals is the same document."""

import json

from hypothesis import given
from hypothesis import strategies as st

from adapters.shared.json_text import json_text
from domain.printable import printable

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
)


@given(JSON, st.sampled_from([None, 2]))
def test_it_reads_back_as_what_it_was_and_nothing_in_it_acts(document: object, indent: int | None) -> None:
    text = json_text(document, indent=indent)
    assert json.loads(text) == document
    assert printable(text, lines=True) == text
    assert indent or "\n" not in text
