"""Numbers as people and models write them, read exactly: `1,234.50`, `$5`, `−3`, `1/2`, `\\frac{1}{2}`, `50%`, `1e3`.

Exact, because as floating-point numbers 12345678901234567891 and …890 are the same. math-verify was looked at for this:
it reads more of mathematics, but rounds (0.3333333333 is a third to it), takes any number in a sentence for the answer,
knows neither 1e3 nor the minus sign U+2212, and stops its searches by signals, which threads cannot have.
"""

import re
from fractions import Fraction

# Longer ones are compared as texts: a power of ten is as large as its exponent says.
_LONGEST = 400
_LARGEST_EXPONENT = 400

_MINUS = str.maketrans({"\u2212": "-", "\u2013": "-", "\u2012": "-", "\uff0b": "+", "\u2044": "/"})
_SPACES = re.compile(r"\\[,;:!]|[\u00a0\u2009\u202f]")
_WHOLE = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
_DECIMAL = re.compile(rf"({_WHOLE})?(?:\.(\d*))?")
_SCIENTIFIC = re.compile(r"(?:[eE]|\s*(?:\\times|\\cdot|×|\*)\s*10\s*\^\s*)\{?([+-]?\d{1,9})\}?")
_FRACTION = re.compile(r"\\[dt]?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))")
_THOUSANDS_IN_GROUPS = re.compile(r"(?<=\d)(?:\{,\}| )(?=\d{3}(?!\d))")
_CURRENCY = re.compile(r"\\?[$€£¥]\s*")


def number_in(text: str) -> Fraction | None:
    """The number that a text is, nothing else around it but a currency or a percent sign; None for any other text."""
    if len(text) > _LONGEST:
        return None
    text = _THOUSANDS_IN_GROUPS.sub(",", _SPACES.sub(" ", text.translate(_MINUS)).strip())
    sign, text = _signed(text)
    text = _CURRENCY.sub("", text, count=1) if _CURRENCY.match(text) else text
    sign, text = (sign, text) if sign < 0 else _signed(text)
    hundredths = text.endswith("%")
    text = text.removesuffix("%").removesuffix("\\").rstrip()
    value = _unsigned(text)
    if value is None:
        return None
    return sign * (value / 100 if hundredths else value)


def _signed(text: str) -> tuple[int, str]:
    return (-1 if text[:1] == "-" else 1), text[1:].lstrip() if text[:1] in ("-", "+") else text


def _unsigned(text: str) -> Fraction | None:
    if fraction := _FRACTION.search(text):
        if fraction.end() != len(text):
            return None
        above, below = fraction[1] or fraction[2], fraction[3] or fraction[4]
        return _with_whole(text[: fraction.start()], _divided(above, below))
    if "/" in text:
        whole, _, above_below = text.rpartition(" ")
        above, _, below = (above_below if whole.isdigit() else text).partition("/")
        return _with_whole(whole if whole.isdigit() else "", _divided(above, below))
    return _decimal(text)


def _with_whole(whole: str, part: Fraction | None) -> Fraction | None:
    """A mixed number, such as `1 1/2`."""
    if part is None or not whole.strip():
        return part
    return int(whole) + part if whole.strip().isdecimal() and 0 <= part < 1 else None


def _divided(above: str, below: str) -> Fraction | None:
    sign, above = _signed(above.strip())
    over, under = _decimal(above), _decimal(below.strip())
    return None if over is None or not under else sign * over / under


def _decimal(text: str) -> Fraction | None:
    found = _DECIMAL.match(text)
    if found is None or not (found[1] or found[2]):
        return None
    value = Fraction(f"{(found[1] or '0').replace(',', '')}.{found[2] or '0'}")
    rest = text[found.end() :]
    if not rest:
        return value
    power = _SCIENTIFIC.fullmatch(rest)
    if power is None or abs(int(power[1])) > _LARGEST_EXPONENT:
        return None
    return value * Fraction(10) ** int(power[1])
