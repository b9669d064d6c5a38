"""The oddest values that JSON, or a command line, can carry, for tests that hold nothing must break by them."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st


def nested(depth: int, *, name: str | None = None) -> Any:
    value: Any = "the innermost"
    for _ in range(depth):
        value = [value] if name is None else {name: value}
    return value


def _one_of(*makers: Callable[[], Any]) -> st.SearchStrategy[Any]:
    """What one of these makes: Hypothesis would print the values themselves, and some cannot be printed."""
    return st.integers(0, len(makers) - 1).map(lambda number: makers[number]())


_ODD_TEXTS = st.sampled_from(
    [
        "\0",
        "a\0b",
        "\ud800",
        "a\udfff",
        "\u202egnp.exe",
        "\u2028",
        "\x1b]0;title\x07\x1b[2J",
        "1" + "0" * 400,
        "\\u0000",
        "😀" * 300,
        "",
        " ",
        "custom01",
        "sft-demo",
        "x" * 64,
        "../../etc/passwd",
        "' OR 1=1; --",
        "{{ 7 * 7 }}",
        "%s %(name)s {name}",
    ]
)
_LONG_TEXTS = _one_of(
    lambda: "x" * 1_000_000,
    lambda: "word " * 50_000,
    lambda: "".join(chr(0x4E00 + number % 20_000) for number in range(5_000)),
)
_CONTROLS = st.text(st.characters(categories=["Cc", "Cf", "Cs", "Co", "Zl"]), max_size=9)
TEXTS: st.SearchStrategy[str] = _ODD_TEXTS | _LONG_TEXTS | st.text(max_size=40) | _CONTROLS
_ODD_NUMBERS = st.sampled_from(
    [
        *(2**31, 2**53, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**400, 1e308, 5e-324, -0.0, 0, 1, -1),
        *(float("nan"), float("inf"), float("-inf")),
    ]
)
_LONG_NUMBERS = _one_of(lambda: 10**5000, lambda: -(10**5000), lambda: -(10**400))
NUMBERS = _ODD_NUMBERS | _LONG_NUMBERS | st.integers() | st.floats()
_NESTED = _one_of(
    lambda: nested(7),
    lambda: nested(200),
    lambda: nested(255),
    lambda: nested(1000),
    lambda: nested(300, name="x"),
    lambda: nested(1000, name="x"),
)
_WIDE = _one_of(
    lambda: [0] * 50_000,
    lambda: {str(number): number for number in range(5_000)},
    lambda: [{}] * 1_000,
    lambda: ["x" * 1_000] * 1_000,
)
VALUES = (
    st.recursive(
        st.none() | st.booleans() | NUMBERS | TEXTS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=5,
    )
    | _NESTED
    | _WIDE
)
"""Anything that JSON can say, and what Python makes of JSON that is none."""

_WORDS = (_ODD_TEXTS | st.text(max_size=40)).filter(lambda text: "\0" not in text and text.isascii())
_BYTES = st.binary(max_size=12).filter(lambda raw: b"\0" not in raw)
ARGUMENTS = _WORDS | _BYTES.map(lambda raw: raw.decode("utf-8", "surrogateescape"))
"""What an operating system lets through as an argument of a command."""
