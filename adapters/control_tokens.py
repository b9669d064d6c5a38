"""What looks like a base model's control token in people's words: it is text there, and never the end of a turn.

A message that says `<|im_end|>` would otherwise end its turn, and what follows could speak as somebody else. While a
chat template writes a conversation, a character that nobody uses and no template changes stands in for such words.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Of the private use of Unicode's plane 15, one for each token.
_FIRST_STAND_IN = 0xF0000
# Tokens in which rows have what is thought and said, and not the base model's marks between turns.
_PEOPLES_OWN = {"<think>", "</think>", "<answer>", "</answer>"}

Span = tuple[int, int]


class ControlTokens:
    """A tokenizer's control tokens, and the characters that stand in for them."""

    def __init__(self, tokenizer: Any) -> None:
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        tokens = {
            str(token) for token in (*tokenizer.all_special_tokens, *(one.content for one in added if one.special))
        }
        self.tokens = sorted(tokens - _PEOPLES_OWN - {""}, key=len, reverse=True)
        self._stand_ins = {token: chr(_FIRST_STAND_IN + number) for number, token in enumerate(self.tokens)}
        self._meant = {stand_in: token for token, stand_in in self._stand_ins.items()}
        self._any = re.compile("|".join(map(re.escape, self.tokens)) or r"(?!)")
        self._any_stand_in = re.compile(f"[{chr(_FIRST_STAND_IN)}-{chr(_FIRST_STAND_IN + len(self.tokens))}]")

    def in_words(self, value: Any) -> list[str]:
        """The control tokens that stand in what people wrote: a text, messages, or tools."""
        match value:
            case str():
                return self._any.findall(value)
            case Mapping():
                return [token for name, part in value.items() if name != "role" for token in self.in_words(part)]
            case list() | tuple():
                return [token for part in value for token in self.in_words(part)]
            case _:
                return []

    def guarded(self, value: Any) -> Any:
        """The same messages, or tools, with a stand-in for each control token."""
        match value:
            case str():
                return self._any.sub(lambda found: self._stand_ins[found[0]], value)
            case Mapping():
                return {name: part if name == "role" else self.guarded(part) for name, part in value.items()}
            case list() | tuple():
                return [self.guarded(part) for part in value]
            case _:
                return value

    def stretches(self, text: str) -> Iterator[tuple[Span, bool]]:
        """The text in stretches that no token crosses, and whether people's words in one look like control tokens."""
        if not self._any_stand_in.search(text):
            yield (0, len(text)), False
            return
        begin = at = 0
        for end, after in (*(found.span() for found in self._any.finditer(text)), (len(text), len(text))):
            if self._any_stand_in.search(text, at, end):
                yield from [((begin, at), False)] if begin < at else []
                yield (at, end), True
                begin = end
            at = after
        if begin < len(text):
            yield (begin, len(text)), False

    def as_meant(self, text: str, spans: Sequence[Span]) -> tuple[str, list[Span]]:
        """A text with what people wrote in place of the stand-ins, and where in it the spans are."""
        pieces, places, length = [], [], 0
        for character in text:
            piece = self._meant.get(character, character)
            places.append(length)
            pieces.append(piece)
            length += len(piece)
        places.append(length)
        return "".join(pieces), [(places[begin], places[end]) for begin, end in spans]


def control_tokens(tokenizer: Any) -> ControlTokens:
    """The tokenizer's control tokens, looked up once as long as it names the same ones."""
    known: dict[Any, ControlTokens] = vars(tokenizer).setdefault("_tmm_control_tokens", {})
    named = (tokenizer.eos_token, tokenizer.pad_token)
    if named not in known:
        known[named] = ControlTokens(tokenizer)
    return known[named]
