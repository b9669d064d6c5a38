"""The base of all immutable values, and how a value that breaks its rules is told to people."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict, ValidationError

from domain.bounded import shown
from domain.printable import printable

_FAULTS_TOLD = 20
_WORDS_AT_MOST = 600
_PLACE_AT_MOST = 100


class Value(BaseModel):
    """An immutable value that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def in_words(error: ValidationError, *, what: str, fields: Mapping[str, object], hints: Mapping[str, str]) -> str:
    """Every fault as «field: what is wrong», for people; `hints` say a field's rule better than the library does."""
    sentences = []
    faults = error.errors(include_url=False)
    for fault in faults[:_FAULTS_TOLD]:
        place = printable(".".join(str(part) for part in fault["loc"]), at_most=_PLACE_AT_MOST)
        if fault["type"] == "missing":
            words = "is missing"
        elif fault["type"] == "extra_forbidden":
            words = f"is not a field of {what} (these are: {', '.join(fields)})"
        elif place in hints:
            words = f"{hints[place]}, not {shown(fault['input'])}"
        elif fault["type"] == "value_error":
            words = str(fault["ctx"]["error"])
        elif fault["type"] == "enum":
            words = f"must be one of {fault['ctx']['expected'].replace(chr(39), '')}, not {shown(fault['input'])}"
        else:
            words = fault["msg"][0].lower() + fault["msg"][1:] + f", not {shown(fault['input'])}"
        sentences.append(printable(f"{place}: {words}" if place else words, at_most=_WORDS_AT_MOST))
    if len(faults) > _FAULTS_TOLD:
        sentences.append(f"and {len(faults) - _FAULTS_TOLD:,} more")
    return "; ".join(sentences) + "."


def must_be_storable_texts(fields: Mapping[str, object]) -> None:
    """Raise `ValueError`, naming the field, if a text in these plain values is none that every database keeps."""
    for field, value in fields.items():
        if any("\0" in text for text in _texts(value)):
            raise ValueError(f"{field}: holds a NUL character (\\x00), which no text can have. Leave it out.")
        if any("\ud800" <= character <= "\udfff" for text in _texts(value) for character in text):
            raise ValueError(f"{field}: holds half a character (a lone surrogate). Leave it out.")


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            yield from value
            for item in value.values():
                yield from _texts(item)
        case list() | tuple():
            for item in value:
                yield from _texts(item)
