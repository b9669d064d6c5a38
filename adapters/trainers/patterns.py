"""Patterns that people write for rewards: each search of one ends in a limited time, however the pattern is built."""

import re
from collections.abc import Iterator

from domain.training import InvalidInput

LONGEST = 1000
"""Characters of a pattern, at most."""

SEARCH_S = 1.0
"""Seconds that a search may take. Patterns that do not try every way of dividing a text come nowhere near."""

_TRIED_CHARACTERS = 200


class Pattern:
    """A pattern of Python's `re`, whose search ends within `SEARCH_S` or with a sentence that names the pattern."""

    def __init__(self, text: str, *, of: str, dotall: bool = False) -> None:
        """`of` is whose pattern it is, as in "The reward 'regex'"; with `dotall`, `.` takes line ends too.

        Raises `InvalidInput` for what is no pattern, is too long, or takes too long on texts that are hard for it.
        """
        import regex

        self._text, self._of = text, of
        if len(text) > LONGEST:
            raise InvalidInput(f"{of} has a pattern of {len(text):,} characters; at most {LONGEST:,} are taken.")
        try:
            re.compile(text)  # refuses what only `regex` understands, such as recursion
            self._compiled = regex.compile(text, regex.DOTALL if dotall else 0)
        except (re.error, regex.error, RecursionError, OverflowError) as error:
            raise InvalidInput(f"{of} has a pattern that cannot be used: {error}.") from None
        for hard in _hard_for(text):
            self.is_in(hard)

    def is_in(self, said: str) -> bool:
        """Whether the pattern is found anywhere in what was said. Raises `InvalidInput` if that takes too long."""
        try:
            return self._compiled.search(said, timeout=SEARCH_S) is not None
        except TimeoutError:
            raise InvalidInput(
                f"{self._of} has the pattern {self._text!r}, which was looked for in a text of {len(said):,} "
                f"characters for more than {SEARCH_S:.0f} s: it divides the text in too many ways. Write it without a "
                "repetition inside a repetition, such as (a+)+, and with fewer of .* in a row."
            ) from None


def _hard_for(text: str) -> Iterator[str]:
    """Texts on which a pattern that never ends shows it: what it repeats, many times, and then what fits nowhere.

    All that the pattern names is in each, since a text without is given up at once.
    """
    own = "".join(dict.fromkeys(character for character in text if character.isprintable()))
    words = "".join(character for character in own if character.isalnum())
    for repeated in (own, words, *dict.fromkeys(f"a0 \n{own[:40]}")):
        if repeated:
            yield repeated * (_TRIED_CHARACTERS // len(repeated)) + f"\0{own}\0"
