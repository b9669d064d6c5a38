"""What is measured together, so that measuring takes little memory however large a model's vocabulary is."""

MOST_ROWS = 200
"""Held-out rows that are measured, of more than that the first."""
TOKENS_AT_ONCE = 16_384
LOGITS_AT_ONCE = 2**26
"""Predictions that are looked at together, a number of 32 bits for each token of the vocabulary: 268 MB and copies."""


def logits_measured(vocabulary: int, longest: int, *, rows: int) -> int:
    """How many predictions are looked at together at most, where so many rows are measured."""
    return min(LOGITS_AT_ONCE, TOKENS_AT_ONCE * vocabulary, longest * min(rows, MOST_ROWS) * vocabulary)
