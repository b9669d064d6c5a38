"""Signing where the log stands, and recording what of it was written out."""

from uuid import uuid4

from domain.audit.event_log import EventLog
from domain.audit.operations import CheckpointMade, LogExported
from domain.audit.proving.proof import Checkpoint, Checkpoints, Signer
from domain.audit.read_models import AuditQuery, Head
from domain.people.users import User


class Signing:
    """Signs the log, and records what was signed and exported."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def make_checkpoint(self, signer: Signer, checkpoints: Checkpoints, *, by: User) -> Checkpoint:
        """Sign where the log stands and keep that outside the database; the newest one if nothing happened since."""
        while True:
            head, previous = self._log.catch_up(), checkpoints.newest()
            if previous is not None and not self._happened_since(previous, head):
                return previous
            checkpoint = Checkpoint.signed_by(signer, head=head, previous=previous)
            if checkpoints.keep(checkpoint):
                break  # else somebody else made one at the same moment
        self._log.append(
            CheckpointMade.happened(
                position=head.position, hash=head.hash, key_id=signer.key_id, by=by, command_id=uuid4()
            )
        )
        return checkpoint

    def _happened_since(self, checkpoint: Checkpoint, head: Head) -> bool:
        if head.position != checkpoint.position + 1:
            return head.position > checkpoint.position
        (newest,) = self._log.views.audit_page(AuditQuery(newest_first=True, limit=1)).entries
        return newest.action != "checkpoint"  # its own entry is not news

    def record_export(self, form: str, *, first: int, last: int, count: int, hash: str, by: User) -> None:
        """Record that a range of the audit log was written to a file."""
        self._log.append(
            LogExported.happened(format=form, first=first, last=last, count=count, hash=hash, by=by, command_id=uuid4())
        )
