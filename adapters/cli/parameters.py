"""The kinds of values that commands take."""

from datetime import UTC, date, datetime, time
from enum import StrEnum
from pathlib import Path
from typing import Any

import click

from domain.audit.read_models import RunStanding
from domain.catalogue.method_spec import Backend, MethodType
from domain.runs.flow_runs import Queue

folder_argument = click.Path(path_type=Path, file_okay=False)


class MemberOf(click.ParamType[StrEnum]):
    """A word of an enumeration, in whatever case it is typed."""

    name = "word"

    def __init__(self, words: type[StrEnum]) -> None:
        self._words = words

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return f"[{'|'.join(self._words)}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> StrEnum:
        for member in self._words:
            if value.lower() == member.lower():
                return member
        self.fail(f"{value!r} is not one of {', '.join(self._words)}.", param, ctx)


class Moment(click.ParamType[datetime]):
    """A date or a time in ISO 8601, taken as UTC unless it says otherwise; a date means its start, or its end."""

    name = "TIME"

    def __init__(self, *, end_of_day: bool = False) -> None:
        self._end_of_day = end_of_day

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            if len(value) <= len("2026-11-24"):
                day = date.fromisoformat(value)
                return datetime.combine(day, time.max if self._end_of_day else time.min, UTC)
            when = datetime.fromisoformat(value)
            return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a date or time such as 2026-11-24 or 2026-11-24T17:30.", param, ctx)


BACKEND = MemberOf(Backend)
QUEUE = MemberOf(Queue)
METHOD_TYPE = MemberOf(MethodType)
RUN_STANDING = MemberOf(RunStanding)

json_option = click.option("--json", "json_wanted", is_flag=True, help="Print one JSON document.")
