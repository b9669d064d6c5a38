"""Tells Prefect of every event once, in order, also of those that happened while Prefect was away."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.wiring import Installation

_BATCH = 50
_FILE = "emitted.json"


class Emitter:
    """Follows the event log from where this installation's Prefect was told last; a new Prefect hears what is new."""

    def __init__(self, tmm: "Installation") -> None:
        self._tmm = tmm
        self._file = tmm.settings.prefect_home / _FILE
        if not self._file.exists():
            self._remember(tmm.log.catch_up().notification_id)

    def emit(self) -> int:
        """Tell what was not told yet; how many events. Raises `PrefectUnavailable`."""
        told = 0
        while notifications := self._tmm.log.recorder.select_notifications(
            start=int(json.loads(self._file.read_bytes())["after"]), limit=_BATCH, inclusive_of_start=False
        ):
            events = [self._tmm.log.read(notification) for notification in notifications]
            self._tmm.prefect_events.emit([event for event in events if event is not None])
            self._remember(notifications[-1].id)
            told += len(notifications)
        return told

    def _remember(self, after: int) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps({"after": after}))
        new.replace(self._file)
