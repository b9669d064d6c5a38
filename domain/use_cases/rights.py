"""What takes a role, or is one's own: whoever may not do it is refused, and the attempt recorded."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from domain.audit.commands import Commands
from domain.errors import Refused
from domain.people.roles import Role
from domain.people.users import User
from domain.use_cases.act import Act


def must_meet(act: Act[Any], *, by: User, commands: Callable[[], Commands]) -> None:
    """Raise `NotOfTheRole` for whoever lacks the role that an act needs, once the attempt is recorded.

    The log is asked for then alone: some acts go on while it is away.
    """
    if act.needs is not None and act.needs.role not in by.roles:
        role, to, action, subject = act.needs
        Rights(commands()).must_be(role, by=by, to=to, action=action, subject=subject)


class Rights:
    """Refuses and records what people may not do. `to` completes «… may not», `action` and `subject` are recorded."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def must_be(
        self, role: Role, *, by: User, to: str, action: str, subject: str, tried: Mapping[str, Any] | None = None
    ) -> None:
        """Raise `NotOfTheRole` unless this person has the role."""
        with self._recorded(by, action, subject, tried or {}):
            by.must_be(role, to=to)

    def must_own(self, owner: str, *, by: User, to: str, action: str, subject: str) -> None:
        """Raise `NotOfTheRole` unless what `owner` began is this person's own, or this person is an operator."""
        with self._recorded(by, action, subject, {}):
            by.must_own(owner, to=to)

    @contextmanager
    def _recorded(self, by: User, action: str, subject: str, tried: Mapping[str, Any]) -> Iterator[None]:
        try:
            yield
        except Refused as refusal:
            self._commands.record_refused(refusal, action=action, name=subject, tried=tried, by=by)
            raise
