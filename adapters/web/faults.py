"""Where on a form an error belongs: each fault of the domain's sentence at the field that it names."""

import re
from collections.abc import Collection

from adapters.shared.showing.remedies import with_remedies
from domain.errors import InvalidConfigurationOptions, MethodAlreadyExists, TrainingMethodError

_OF_FIELD = re.compile(r"^([a-z_]+)((?:\.[\w]+)*): (.+)$", re.DOTALL)
_OF_OPTION = re.compile(r"^(?:the default of )?option '([a-z][a-z0-9_]*)'")


class Faults:
    """What is wrong with a form: at its fields, at its options, and altogether."""

    def __init__(self, error: TrainingMethodError | None = None, *, fields: Collection[str] = ()) -> None:
        self.error = error
        self._at: dict[str, list[str]] = {}
        self.summary: list[str] = []
        for fault in _faults_of(error) if error is not None else ():
            place, words = _place_of(fault)
            if place in fields or place.startswith("option."):
                self._at.setdefault(place, []).append(words)
            else:
                self.summary.append(fault)

    def __bool__(self) -> bool:
        return self.error is not None

    def at(self, place: str) -> str:
        """What is wrong at a field, or at an option (`option.NAME`); empty where nothing is."""
        return "; ".join(self._at.get(place, ()))

    def named(self, names: list[str]) -> "Faults":
        """The same, with faults of the n-th configuration option at the option that has this place on the form."""
        for place in [place for place in self._at if place.startswith("option.#")]:
            number = int(place.removeprefix("option.#"))
            if number < len(names):
                self._at.setdefault(f"option.{names[number]}", []).extend(self._at.pop(place))
        return self

    @property
    def places(self) -> list[str]:
        return list(self._at)


def _faults_of(error: TrainingMethodError) -> list[str]:
    if isinstance(error, InvalidConfigurationOptions):
        return list(error.problems)
    if isinstance(error, MethodAlreadyExists):
        return [f"internal_name: {with_remedies(error)}"]
    # The next fault begins with the next field's name.
    return [part.rstrip(".") for part in re.split(r"; (?=[a-z_]+(?:\.\w+)*: |option ')", str(error))]


def _place_of(fault: str) -> tuple[str, str]:
    if match := _OF_OPTION.match(fault):
        return f"option.{match[1]}", fault
    if match := _OF_FIELD.match(fault):
        field, rest, words = match.groups()
        if field in ("configuration_options", "options"):
            if inner := _OF_OPTION.match(words):
                return f"option.{inner[1]}", words
            number, _, what = rest.removeprefix(".").partition(".")
            if number.isdigit():
                return f"option.#{number}", f"{what}: {words}" if what else words
        return field, words
    return "", fault
