"""The acts of operators on the log itself: build its views anew, and let time count from the clock."""

from typing import ClassVar
from uuid import UUID

from domain.audit.operating import Operating
from domain.audit.operations import ClockAccepted, ViewsRebuilt
from domain.people.roles import Role
from domain.people.users import User
from domain.use_cases.act import Act, Needs


class RebuildViews(Act[ViewsRebuilt]):
    """Drop the views and replay the log into them; what came of it is recorded."""

    needs: ClassVar = Needs(Role.OPERATOR, "rebuild the views", "rebuild", "views")


class AcceptClock(Act[ClockAccepted]):
    """Let time count from the clock anew, after it had jumped ahead. Raises `ClockNotBehind`."""

    needs: ClassVar = Needs(Role.OPERATOR, "accept the clock", "accept-clock", "audit log")


class Operators:
    """Does the acts of operators on the log."""

    def __init__(self, operating: Operating) -> None:
        self._operating = operating

    def rebuild(self, _: RebuildViews, by: User, command_id: UUID | None = None) -> ViewsRebuilt:
        """Drop the views and replay the log into them."""
        return self._operating.rebuild_views(by=by, command_id=command_id)

    def accept_clock(self, _: AcceptClock, by: User, command_id: UUID | None = None) -> ClockAccepted:
        """Let time count from the clock anew."""
        return self._operating.accept_clock(by=by, command_id=command_id)
