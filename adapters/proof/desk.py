"""What operators and auditors do with the proof: make checkpoints, export, verify."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.proof.checkpoint_files import CheckpointFolder
from adapters.proof.exports import Exported, export
from adapters.proof.signing import FolderSigner, is_signed, key_id_of, verifying_key
from domain.audit.auditing import Auditing
from domain.audit.event_log import EventLog
from domain.audit.proving.proof import Checkpoint
from domain.audit.proving.signing import Signing
from domain.audit.proving.verification import Finding
from domain.audit.proving.verified_log import Beside, Verification, VerifiedLog
from domain.audit.read_models import AuditQuery
from domain.errors import BadResult, InvalidInput
from domain.people.users import User

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Proof:
    """The proof of one log: its checkpoints in a folder, and the key in another that they are signed with."""

    def __init__(
        self, log: EventLog, verified: VerifiedLog, *, checkpoints: Path, key_folder: Path, beside: Beside | None = None
    ) -> None:
        self._log = log
        self._verified = verified
        self._signing = Signing(log)
        self._auditing = Auditing(log)
        self._beside = beside
        self._checkpoints = CheckpointFolder(checkpoints)
        self._signer = FolderSigner(key_folder, signed_before=self._key_of_the_newest_checkpoint)
        self._key_folder = key_folder

    def make_checkpoint(self, *, by: User) -> tuple[Checkpoint, Path]:
        """Sign where the log stands; the checkpoint and its file. The newest one if nothing happened since."""
        checkpoint = self._signing.make_checkpoint(self._signer, self._checkpoints, by=by)
        return checkpoint, self._checkpoints.file_of(checkpoint)

    def export(self, file: Path, form: str, *, first: int = 1, last: int | None = None, by: User) -> Exported:
        """Write a range of entries, by default all that there are, with a manifest, after making a checkpoint.

        Raises `InvalidInput` for a range that the log does not have.
        """
        checkpoint, _ = self.make_checkpoint(by=by)
        last = checkpoint.position if last is None else last
        if not 1 <= first <= last <= checkpoint.position:
            raise InvalidInput(
                f"The log has the entries 1 to {checkpoint.position}, so {first} to {last} cannot be exported."
            )
        exported = export(
            self._log.entries(first, last),
            file,
            form,
            before=self._log.views.head_at(first - 1).hash,
            signer=self._signer,
        )
        manifest = exported.manifest
        self._signing.record_export(
            form, first=first, last=last, count=manifest["count"], hash=manifest["last_hash"], by=by
        )
        return exported

    def verify(self, *, views_too: bool = True) -> Verification:
        """Read the whole log and compare it with its checkpoints, and with its views."""
        found = self._verified.verify(
            self._checkpoints.all(), is_signed=self._is_signed, views_too=views_too, beside=self._beside
        )
        return found.model_copy(update={"findings": (*found.findings, *self._lost_checkpoints())})

    def verify_export(self, file: Path, *, checkpoint: Path | None, public_key: Path | None) -> str:
        """One sentence about a true export. Raises `BadResult` for a false one, `InvalidInput` for what is none."""
        from adapters.proof.verify_export import FalseExport, verify

        try:
            return verify(file, public_key or self._signer.public_pem, checkpoint)
        except FalseExport as false:
            raise BadResult(f"The export {file} is false: {false}.") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidInput(f"The export {file} cannot be verified: {type(error).__name__}: {error}.") from None

    def _key_of_the_newest_checkpoint(self) -> str | None:
        """As its file says, or else the log, which tells of checkpoints whose files are kept elsewhere."""
        if (newest := self._checkpoints.newest()) is not None:
            return newest.key_id
        entries = self._auditing.entries(AuditQuery(action="checkpoint", outcome="done", newest_first=True, limit=1))
        return next((str(c.after) for entry in entries for c in entry.changes if c.field == "key_id"), None)

    def _lost_checkpoints(self) -> Iterator[Finding]:
        """Checkpoints that the log says were made and whose files are gone."""
        kept = {checkpoint.position for checkpoint in self._checkpoints.all()}
        query: AuditQuery | None = AuditQuery(action="checkpoint", outcome="done")
        while query is not None:
            page = self._auditing.page(query)
            for entry in page.entries:
                (position,) = (change.after for change in entry.changes if change.field == "position")
                if position not in kept:
                    yield Finding(
                        position=position, words=f"the checkpoint of entry {position} is gone from its folder"
                    )
            query = query.model_copy(update={"after": page.next_after}) if page.next_after is not None else None

    def _is_signed(self, checkpoint: Checkpoint) -> bool:
        key = self._public_keys.get(checkpoint.key_id)
        return key is not None and is_signed(key, checkpoint.key_id, checkpoint.message(), checkpoint.signature)

    @cached_property
    def _public_keys(self) -> "dict[str, Ed25519PublicKey]":
        # A key that was retired stays beside the new one, as any other *.pem than the private one.
        files = [file for file in self._key_folder.glob("*.pem") if file.name != "private.pem"]
        return {key_id_of(key): key for key in map(verifying_key, files)}
