"""What commands need around them. `infra.wiring` builds the real one."""

from typing import Protocol

from domain.errors import TrainingMethodError
from domain.people.users import User
from domain.use_cases.act import Do


class Context(Protocol):
    """Who asks, and what does it. Everything is made when it is first asked for: a command pays for what it uses."""

    @property
    def do(self) -> Do:
        """Does acts."""
        ...

    def user(self) -> User:
        """The acting user: the operating-system user with the entitlement that the installed licences give."""
        ...

    def explain(self, error: Exception) -> TrainingMethodError | None:
        """An outside thing's error (of a database, of Prefect) in our words, or None if it is none of theirs."""
        ...

    def shown(self, text: str) -> str:
        """A text as it may be shown: without the secrets of the installation's addresses."""
        ...

    def close(self) -> None:
        """Let go of what was opened."""
        ...
