"""The base of all immutable values, and how a value that breaks its rules is told to people."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, ValidationError


class Value(BaseModel):
    """An immutable value that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def in_words(error: ValidationError, *, what: str, fields: Mapping[str, object], hints: Mapping[str, str]) -> str:
    """Every fault as «field: what is wrong», for people; `hints` say a field's rule better than the library does."""
    sentences = []
    for fault in error.errors(include_url=False):
        place = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "missing":
            words = "is missing"
        elif fault["type"] == "extra_forbidden":
            words = f"is not a field of {what} (these are: {', '.join(fields)})"
        elif place in hints:
            words = f"{hints[place]}, not {fault['input']!r}"
        elif fault["type"] == "value_error":
            words = str(fault["ctx"]["error"])
        elif fault["type"] == "enum":
            words = f"must be one of {fault['ctx']['expected'].replace(chr(39), '')}, not {fault['input']!r}"
        else:
            words = fault["msg"][0].lower() + fault["msg"][1:] + f", not {fault['input']!r}"
        sentences.append(f"{place}: {words}" if place else words)
    return "; ".join(sentences) + "."
