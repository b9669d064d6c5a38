"""What auditors and operators ask of the log: what happened, how often, and why things are as they are."""

from dataclasses import dataclass
from datetime import datetime

from domain.audit.event_log import EventLog
from domain.audit.operations import KeyPurpose
from domain.audit.read_models import (
    AuditCount,
    AuditEntry,
    AuditPage,
    AuditQuery,
    CountBy,
)
from domain.audit.unreadable import UNREADABLE
from domain.errors import MethodNotFound


@dataclass(frozen=True)
class Standing:
    """Whether a method is selectable, the entry that made it so, and the newest attempt that was refused."""

    selectable: bool
    because: AuditEntry | None
    refused: AuditEntry | None


class Auditing:
    """The queries of the audit log. Every one first catches the views up, so they are never stale."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def entries(self, query: AuditQuery | None = None) -> list[AuditEntry]:
        """Entries of the audit log, the oldest first unless the query says otherwise."""
        return list(self.page(query or AuditQuery()).entries)

    def page(self, query: AuditQuery) -> AuditPage:
        """As many entries as were asked for, if there are so many, and the position after which to go on."""
        self._log.catch_up()
        return self._log.views.audit_page(query)

    def counts(self, by: CountBy, query: AuditQuery | None = None) -> list[AuditCount]:
        """How many entries the query fits, by actor, action, method and so on, the most first."""
        self._log.catch_up()
        return self._log.views.audit_counts(by, query or AuditQuery())

    def state(self) -> str:
        """The hash of the entry that queries see last: while it is the same, so is every answer."""
        return self._log.catch_up().hash

    @property
    def views_writable(self) -> bool:
        """Whether this user may bring the views up to date; else they are read as they stand."""
        return self._log.views.writable

    def up_to(self) -> tuple[int, datetime | None]:
        """The last entry that queries see, and when it was recorded. Whoever may write sees all there is."""
        head = self._log.catch_up()
        newest = self._log.views.audit_page(AuditQuery(newest_first=True, limit=1)).entries
        return head.position, newest[0].recorded_at if newest else None

    def why(self, internal_name: str) -> Standing:
        """Why a method is, or is not, selectable: the entry that made it so. Raises `MethodNotFound`."""
        self._log.catch_up()
        decisive = [
            entry
            for action in ("preinstall", "add", "add-again", "delete")
            for entry in self._newest(AuditQuery(method=internal_name, action=action, outcome="done"))
        ]
        attempts = self._newest(AuditQuery(method=internal_name, outcome="refused"))
        if not decisive and not attempts:
            raise MethodNotFound(internal_name)
        entry = max(decisive, key=lambda decided: decided.position, default=None)
        return Standing(
            selectable=entry is not None and entry.action != "delete",
            because=entry,
            refused=attempts[0] if attempts else None,
        )

    def history_of(self, internal_name: str) -> list[AuditEntry]:
        """Everything that was done to a method, or tried, the oldest first. Raises `MethodNotFound`."""
        found: list[AuditEntry] = []
        for action in ("preinstall", "add", "add-again", "modify", "delete"):
            query: AuditQuery | None = AuditQuery(method=internal_name, action=action, limit=1000)
            while query is not None:
                page = self.page(query)
                found += page.entries
                query = query.model_copy(update={"after": page.next_after}) if page.next_after is not None else None
        if not found:
            raise MethodNotFound(internal_name)
        return sorted(found, key=lambda entry: entry.position)

    def unreadable(self, *, limit: int) -> list[AuditEntry]:
        """The first entries whose events could not be read when they came into the views."""
        return self.entries(AuditQuery(action=UNREADABLE, limit=limit))

    def keys_trusted(self) -> dict[tuple[KeyPurpose, str], AuditEntry]:
        """The newest entry for every key that was ever trusted by command, by its purpose and id."""
        found: dict[tuple[KeyPurpose, str], AuditEntry] = {}
        query: AuditQuery | None = AuditQuery(action="trust-key", outcome="done", limit=1000)
        while query is not None:
            page = self.page(query)
            for entry in page.entries:
                facts = {change.field: change.after for change in entry.changes}
                found[KeyPurpose(facts["purpose"]), facts["key_id"]] = entry
            query = query.model_copy(update={"after": page.next_after}) if page.next_after is not None else None
        return found

    def _newest(self, query: AuditQuery) -> list[AuditEntry]:
        return self.entries(query.model_copy(update={"newest_first": True, "limit": 1}))
