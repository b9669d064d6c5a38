"""The acts that prove the audit log: sign where it stands, write it out, and verify it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol
from uuid import UUID

from domain.audit.proving.proof import Checkpoint
from domain.audit.proving.verified_log import Verification
from domain.people.roles import Role
from domain.people.users import User
from domain.use_cases.act import Act, Needs
from domain.values import Value


class SignedLog(Value):
    """The newest signed state of the log, and the file that keeps it."""

    checkpoint: Checkpoint
    file: Path


class SignLog(Act[SignedLog]):
    """Sign where the log stands; the newest one stays if nothing happened since."""

    needs: ClassVar = Needs(Role.AUDITOR, "sign the log", "checkpoint", "audit log")


class Exported(Protocol):
    """An export that was written: its file, its manifest's, and what the manifest says."""

    @property
    def file(self) -> Path: ...
    @property
    def manifest_file(self) -> Path: ...
    @property
    def manifest(self) -> Mapping[str, Any]: ...


class ExportLog(Act[Exported]):
    """Write the entries from `first` to `last`, by default all there are, to a file that proves itself.

    `form` is jsonl, csv or cloudevents. Raises `InvalidInput` for entries that there are not, or a file that is there.
    """

    needs: ClassVar = Needs(Role.AUDITOR, "export the log", "export", "audit log")

    file: Path
    form: str = "jsonl"
    first: int = 1
    last: int | None = None


class VerifyLog(Act[Verification]):
    """Read the whole log and compare it with its checkpoints, and with its views unless they are left out."""

    needs: ClassVar = Needs(Role.AUDITOR, "verify the log", "verify", "audit log")

    views_too: bool = True


class VerifyExport(Act[str]):
    """One sentence about a true export. Raises `BadResult` for a false one, `InvalidInput` for what is none.

    `checkpoint` is one that it must agree with; `public_key` verifies it instead of this installation's.
    """

    file: Path
    checkpoint: Path | None = None
    public_key: Path | None = None


class Proof(Protocol):
    """What the log is proven with: a key, a folder of signed states, and files of exports."""

    def make_checkpoint(self, *, by: User) -> tuple[Checkpoint, Path]:
        """Sign where the log stands; the checkpoint and its file."""
        ...

    def export(self, file: Path, form: str, *, first: int = 1, last: int | None = None, by: User) -> Exported:
        """Write a range of entries with a signed manifest."""
        ...

    def verify(self, *, views_too: bool = True) -> Verification:
        """Read the whole log and compare it with its views and its checkpoints."""
        ...

    def verify_export(self, file: Path, *, checkpoint: Path | None, public_key: Path | None) -> str:
        """One sentence about a true export. Raises `BadResult` for a false one."""
        ...


class Proving:
    """Does the acts that prove the log."""

    def __init__(self, proof: Proof) -> None:
        self._proof = proof

    def sign(self, _: SignLog, by: User, __: UUID | None = None) -> SignedLog:
        """Sign where the log stands."""
        checkpoint, file = self._proof.make_checkpoint(by=by)
        return SignedLog(checkpoint=checkpoint, file=file)

    def export(self, act: ExportLog, by: User, _: UUID | None = None) -> Exported:
        """Write entries to a file, after signing where the log stands."""
        return self._proof.export(act.file, act.form, first=act.first, last=act.last, by=by)

    def verify(self, act: VerifyLog, _: User, __: UUID | None = None) -> Verification:
        """Read the whole log and say what is not what it was."""
        return self._proof.verify(views_too=act.views_too)

    def verify_export(self, act: VerifyExport, _: User, __: UUID | None = None) -> str:
        """Verify a file that was exported here or elsewhere."""
        return self._proof.verify_export(act.file, checkpoint=act.checkpoint, public_key=act.public_key)
