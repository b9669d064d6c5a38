"""The acts of whoever wonders whether the service is well: look at what it needs, and put right what can be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol
from uuid import UUID

from domain.people.roles import Role
from domain.people.users import User
from domain.use_cases.act import Act, Needs
from domain.values import Value


@dataclass(frozen=True)
class Check:
    """One thing that the service needs. `words` say what was found and, where something is wrong, what to do."""

    name: str
    ok: bool
    words: str


class Setting(Value):
    """A setting: its variable, its present value (passwords hidden), and what it is."""

    name: str
    value: str
    meaning: str


class Examined(Value):
    """Every setting, and every check."""

    settings: tuple[Setting, ...]
    checks: tuple[Check, ...]


class Examine(Act[Examined]):
    """Every setting, and whether what the service needs is there and works. No check of it raises."""


class PutRight(Act[Sequence[str]]):
    """Put right runs that are stuck and what Prefect shows; a sentence about each. Raises `PrefectUnavailable`."""

    needs: ClassVar = Needs(Role.OPERATOR, "put right what is stuck", "put-right", "installation")


class Service(Protocol):
    """The service as it can be examined. Nothing of it is opened before it is looked at."""

    def describe_settings(self) -> Sequence[tuple[str, str, str]]:
        """Every setting: variable, present value (passwords hidden), what it is."""
        ...

    def checks(self) -> Sequence[Check]:
        """Everything that the service needs, looked at one after the other; nothing of it raises."""
        ...

    def fix(self) -> Sequence[str]:
        """Put right what can be; a sentence about each. Raises `PrefectUnavailable`."""
        ...


class Health:
    """Does these acts."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def examine(self, _: Examine, __: User, ___: UUID | None = None) -> Examined:
        """Every setting, and every check."""
        settings = self._service.describe_settings()
        return Examined(
            settings=tuple(Setting(name=name, value=value, meaning=meaning) for name, value, meaning in settings),
            checks=tuple(self._service.checks()),
        )

    def put_right(self, _: PutRight, __: User, ___: UUID | None = None) -> Sequence[str]:
        """Put right what can be; a sentence about each."""
        return self._service.fix()
