"""Signed checkpoints: what the log was at a moment, kept where whoever can change the database cannot reach."""

import hashlib
import json
from datetime import datetime
from typing import Any, Protocol, Self

from eventsourcing.domain import datetime_now_with_tzinfo

from domain.audit.read_models import Head
from domain.values import Value

FIRST = "0" * 64


class Signer(Protocol):
    """Signs with an Ed25519 key that is known by its id."""

    @property
    def key_id(self) -> str: ...

    def sign(self, message: bytes) -> str:
        """The signature in hexadecimal."""
        ...


class Checkpoint(Value):
    """The log ended at `position`, with `count` entries and this `hash`; `previous` is the checkpoint's before it.

    `number` counts the checkpoints from 1. The signature covers everything else; `digest` covers it all, and is what
    the next one calls its `previous`: so none can be taken out, put in, or moved.
    """

    number: int
    position: int
    count: int
    hash: str
    made_at: datetime
    previous: str
    key_id: str
    signature: str = ""

    @classmethod
    def signed_by(cls, signer: Signer, *, head: Head, previous: Self | None) -> Self:
        """A checkpoint of the log as it stands, after the newest one."""
        unsigned = cls(
            number=previous.number + 1 if previous else 1,
            position=head.position,
            count=head.position,
            hash=head.hash,
            made_at=datetime_now_with_tzinfo(),
            previous=previous.digest() if previous else FIRST,
            key_id=signer.key_id,
        )
        return unsigned.model_copy(update={"signature": signer.sign(unsigned.message())})

    def message(self) -> bytes:
        """What is signed."""
        return canonical(self.model_dump(mode="json", exclude={"signature"}))

    def digest(self) -> str:
        return hashlib.sha256(canonical(self.model_dump(mode="json"))).hexdigest()


class Checkpoints(Protocol):
    """Where checkpoints are kept, outside the database."""

    def newest(self) -> Checkpoint | None: ...

    def keep(self, checkpoint: Checkpoint) -> bool:
        """False when one of this number is there already: it is never overwritten."""
        ...


def canonical(document: dict[str, Any]) -> bytes:
    """A document's one form as bytes: JSON with sorted names and nothing that could be left out."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
