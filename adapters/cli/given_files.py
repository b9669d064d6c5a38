"""Files that people name to a command, whose text an act takes."""

from pathlib import Path

from domain.errors import InvalidLicence

_LARGEST = 100_000
"""Bytes; what is longer is refused by whoever takes it."""


def text_of(path: Path, *, what: str) -> str:
    """The text of a licence or a key. Raises `InvalidLicence` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST).decode(errors="replace")
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise InvalidLicence(f"The {what} {path} cannot be read: {reason}.") from None
