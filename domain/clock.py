"""What time it is, for rules that end with time: a clock that was set back brings nothing to life again."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol, Self

from domain.errors import ClockNotBehind

FAR = timedelta(minutes=1)
"""Clocks that differ by less are as good as the same."""


class Time(NamedTuple):
    """This machine's clock, the clock that entries are recorded by, and when the newest entry was; all UTC.

    The clock that records is the database server's or, for the embedded store, this machine's. `newest` is None while
    there is no entry.
    """

    machine: datetime
    store: datetime
    newest: datetime | None = None

    @classmethod
    def of_this_machine(cls) -> Self:
        """The time where there is no log."""
        machine = datetime.now(UTC)
        return cls(machine, machine)

    @property
    def now(self) -> datetime:
        """The time that counts: the later of the clock that records and the newest entry."""
        return self.store if self.newest is None else max(self.store, self.newest)

    @property
    def problem(self) -> str | None:
        """Why a clock is far behind the time that counts, and what to do about it, or None. Begins a sentence."""
        if self.newest is not None and self.newest - self.store > FAR:
            whose = "this machine's clock" if self.store == self.machine else "the database's clock"
            return (
                f"{whose} is {told(self.newest - self.store)} behind the newest entry of the log, recorded at "
                f"{self.newest:%Y-%m-%d %H:%M} UTC, from which time counts. Set the clock right. If it is right, and "
                "had been ahead, an operator accepts it as it is"
            )
        if self.store - self.machine > FAR:
            return f"this machine's clock is {told(self.store - self.machine)} behind the database's. Set it right"
        return None

    def accepted_clock(self) -> tuple[datetime, datetime]:
        """The newest entry's time and the clock's, from which time is to count anew. Raises `ClockNotBehind`."""
        if self.newest is None or self.newest - self.store <= FAR:
            raise ClockNotBehind
        return self.newest, self.store


class Clock(Protocol):
    """Tells what time it is."""

    def time(self) -> Time:
        """Raises `DatabaseUnavailable`."""
        ...


class MachineClock:
    """Where there is no log, such as at an issuer of licences."""

    def time(self) -> Time:
        return Time.of_this_machine()


def told(span: timedelta) -> str:
    """A span of time in its largest whole unit."""
    for unit, length in (("day", timedelta(days=1)), ("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1))):
        if number := span // length:
            return f"{number} {unit}{'s' if number > 1 else ''}"
    return "less than a minute"
