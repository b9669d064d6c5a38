"""Keys: an issuer's pair, and the trust store, a folder of the public keys that licences are checked with."""

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.licences.files import Unusable, must_be_small, read_small, write_new, write_whole
from adapters.shared.ed25519 import is_of_small_order
from domain.errors import InvalidLicence

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_KEY_ID = re.compile(r"[0-9a-f]{16}")


def key_id_of(key: "Ed25519PublicKey") -> str:
    """A public key's id: the first 16 hexadecimal digits of its sha256."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def generate_pair(folder: Path) -> str:
    """Make `private.pem` (readable by its owner only) and `public.pem` in a folder; the pair's key id.

    Raises `InvalidLicence` when one of them is there already.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private, public = folder / "private.pem", folder / "public.pem"
    if there := [file.name for file in (private, public) if file.exists() or file.is_symlink()]:
        raise InvalidLicence(f"{folder} has a {there[0]} already, and keys are never overwritten. Name another folder.")
    key = Ed25519PrivateKey.generate()
    try:
        write_new(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
        write_new(public, _pem(key.public_key()), mode=0o644)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return key_id_of(key.public_key())


def private_key(path: Path) -> "Ed25519PrivateKey":
    """The private key in a PEM file. Raises `InvalidLicence`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(read_small(path, follow=True), password=None)
    except Unusable as error:
        raise InvalidLicence(f"The key {path} {error}.") from None
    except TypeError:
        raise InvalidLicence(f"The key {path} is protected by a password, which cannot be asked here.") from None
    except Exception:
        key = None  # whatever the library says of it: it is no key
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidLicence(f"{path} is no Ed25519 private key. Make one with: tmm licence keygen --out FOLDER")
    return key


class TrustStore:
    """Public keys by key id, as files `<key id>.pem`. Whoever can write the folder decides whom to trust."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def trust(self, content: bytes, *, called: str = "that was given") -> str:
        """Take a public key in, given as PEM; its key id. `called` names it in errors. Raises `InvalidLicence`."""
        try:
            must_be_small(content)
            if b"PRIVATE KEY" in content:
                raise InvalidLicence(
                    f"The key {called} is a private key, which belongs to nobody but the issuer. "
                    "Trust the public.pem beside it."
                )
            key = _public_key(content)
        except Unusable as error:
            raise InvalidLicence(f"The key {called} {error}.") from None
        if key is None:
            raise InvalidLicence(
                f"The key {called} is no Ed25519 public key in PEM form, as tmm licence keygen makes it."
            )
        key_id = key_id_of(key)
        try:
            write_whole(self.file_of(key_id), _pem(key))
        except OSError as error:
            raise _unwritable(self.folder, error) from None
        return key_id

    def key_ids(self) -> list[str]:
        """The ids by which files in the folder can be found, whoever put them there."""
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []
        ids = (name.removesuffix(".pem") for name in names if name.endswith(".pem"))
        return [key_id for key_id in ids if _KEY_ID.fullmatch(key_id)]

    def key(self, key_id: str) -> "Ed25519PublicKey":
        """The trusted key of this id. Raises `Unusable`, completing «the licence …»."""
        if not _KEY_ID.fullmatch(key_id):
            raise Unusable(f"names a key id that is none, {key_id[:40]!r}")
        file = self.file_of(key_id)
        if not os.path.lexists(file):
            raise Unusable(f"is signed with the key {key_id}, which is not in the trust store")
        try:
            key = _public_key(read_small(file, follow=False))
        except Unusable as error:
            raise Unusable(f"is signed with the key {key_id}, whose file in the trust store {error}") from None
        if key is None or key_id_of(key) != key_id:
            raise Unusable(f"is signed with the key {key_id}, whose file in the trust store holds another or no key")
        return key

    def file_of(self, key_id: str) -> Path:
        """The file of a key that is trusted."""
        return self.folder / f"{key_id}.pem"


def _public_key(content: bytes) -> "Ed25519PublicKey | None":
    """The Ed25519 key in a PEM file, or None. Raises `Unusable` for one that protects nothing."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(content)
    except Exception:
        return None  # whatever the library says of it: it is no key
    if not isinstance(key, Ed25519PublicKey):
        return None
    if is_of_small_order(key.public_bytes_raw()):
        raise Unusable("holds a key for which anybody can sign (a point of small order)")
    return key


def _pem(key: "Ed25519PublicKey") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _unwritable(folder: Path, error: OSError) -> InvalidLicence:
    return InvalidLicence(
        f"Nothing can be written to {folder}: {(error.strerror or str(error)).lower()}. "
        "Whoever operates this installation can."
    )
