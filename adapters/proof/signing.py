"""The key that checkpoints and exports are signed with: an Ed25519 pair in a folder of the operator's."""

import hashlib
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.shared.ed25519 import is_of_small_order
from domain.errors import InvalidSettings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


class FolderSigner:
    """Signs with `private.pem` of this folder. A pair is made when the folder has none, and nothing was signed before.

    `signed_before` gives the id of the key that signed what there is already, or None. Whoever holds the private key
    can make a false checkpoint: keep the folder where users of the database cannot read it, and give auditors
    `public.pem`.
    """

    def __init__(self, folder: Path, *, signed_before: Callable[[], str | None] = lambda: None) -> None:
        self._folder = folder
        self._signed_before = signed_before

    @property
    def public_pem(self) -> Path:
        return self._folder / "public.pem"

    @property
    def key_id(self) -> str:
        return key_id_of(self._key.public_key())

    def sign(self, message: bytes) -> str:
        """The signature in hexadecimal."""
        return self._key.sign(message).hex()

    @cached_property
    def _key(self) -> "Ed25519PrivateKey":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        file = self._folder / "private.pem"
        if not file.exists():
            before = self._signed_before()
            if not file.exists():  # nor did anybody make it meanwhile
                if before is not None:
                    raise self._is_gone(before)
                self._make_pair()
        try:
            key = load_pem_private_key(file.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise InvalidSettings(f"TMM_CHECKPOINT_KEY: the key {file} cannot be used ({error}).") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise InvalidSettings(f"TMM_CHECKPOINT_KEY: {file} is no Ed25519 private key.")
        return key

    def _is_gone(self, key_id: str) -> InvalidSettings:
        return InvalidSettings(
            f"TMM_CHECKPOINT_KEY: {self._folder} has no private.pem, and checkpoints are signed with the key {key_id}. "
            "Nothing was signed, and no new key was made in its place. Put the file back. If it is lost, rename its "
            f"public.pem to {key_id}.pem, so that what it signed is still verified, and make a new pair with: "
            f"tmm licence keygen --out {self._folder}"
        )

    def _make_pair(self) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

        self._folder.mkdir(parents=True, exist_ok=True)
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        # Whole or not at all, and never in the place of a pair that somebody else made at this moment.
        unfinished = self._folder / f".private-{os.getpid()}.pem"
        unfinished.touch(mode=0o600)
        unfinished.write_bytes(private)
        try:
            os.link(unfinished, self._folder / "private.pem")
            self.public_pem.write_bytes(public)
        except FileExistsError:
            pass
        finally:
            unfinished.unlink()


def verifying_key(public_pem: Path) -> "Ed25519PublicKey":
    """The public key in a PEM file. Raises `InvalidSettings`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(public_pem.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidSettings(f"The public key {public_pem} cannot be used ({error}).") from None
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidSettings(f"{public_pem} is no Ed25519 public key.")
    if is_of_small_order(key.public_bytes_raw()):
        raise InvalidSettings(f"{public_pem} holds a key for which anybody can sign (a point of small order).")
    return key


def is_signed(key: "Ed25519PublicKey", key_id: str, message: bytes, signature: str) -> bool:
    """Whether this key made the signature (in hexadecimal) of a message that names the key by its id."""
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return key_id == key_id_of(key)


def key_id_of(key: "Ed25519PublicKey") -> str:
    """A public key's id: the first 16 hexadecimal digits of its sha256."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]
