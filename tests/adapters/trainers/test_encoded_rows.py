"""Rows as tokens are the same from a file as from the memory."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.shared.conversations import Encoded
from adapters.trainers.encoded_rows import EncodedRows, as_dataset, learnable
from domain.errors import BadResult

tokens = st.lists(st.tuples(st.integers(0, 2**30 - 1), st.booleans()), max_size=8).map(
    lambda pairs: Encoded([token for token, _ in pairs], [learned for _, learned in pairs])
)


@given(st.lists(tokens, max_size=6))
def test_rows_in_a_file_are_those_that_were_given(rows: list[Encoded]) -> None:
    stored = EncodedRows(iter(rows))

    assert list(stored) == rows
    assert stored[1:] == rows[1:]
    with pytest.raises(IndexError):
        stored[len(rows)]


def test_what_is_not_learned_is_marked_in_the_dataset(tmp_path: Path) -> None:
    rows = [Encoded([5, 6, 7], [False, True, True]), Encoded([8, 9], [False, True])]

    dataset = as_dataset(iter(rows), tmp_path)

    assert dataset.to_list() == [
        {"input_ids": [5, 6, 7], "labels": [-100, 6, 7]},
        {"input_ids": [8, 9], "labels": [-100, 9]},
    ]


def test_rows_of_which_nothing_is_learned_are_left_out_and_all_of_them_refused() -> None:
    nothing, something = Encoded([5, 6], [True, False]), Encoded([5, 6], [False, True])

    assert list(learnable([nothing, something, nothing], max_length=2)) == [something]
    with pytest.raises(BadResult, match="every row is cut off"):
        list(learnable([nothing], max_length=2))
