"""The newest entries of the audit log, whose own order is the oldest first."""

from domain.read_models import AuditEntry, AuditQuery
from domain.service import TrainingMethods


def newest_entries(service: TrainingMethods, query: AuditQuery) -> list[AuditEntry]:
    """The last `query.limit` entries that the query fits, oldest first.

    Positions have no gaps, so a window of the last n positions holds at most n entries; it grows until it holds enough.
    """
    head = service.catch_up().position
    window = query.limit
    while True:
        after = max(head - window, 0)
        entries = service.audit(query.model_copy(update={"after": after, "limit": window}))
        if len(entries) >= query.limit or after == 0:
            return entries[-query.limit :]
        window *= 4
