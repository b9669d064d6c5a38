"""A public key of small order protects nothing: anybody signs for it. It is refused wherever a key is read."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from adapters.licences import ActingTokens, InstalledLicences
from adapters.licences.keys import TrustStore, key_id_of
from adapters.proof import verify_export
from adapters.proof.signing import verifying_key
from adapters.shared import ed25519

PRIME = 2**255 - 19
EIGHTH = int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little")
HEIGHTS = [0, 1, PRIME - 1, EIGHTH, PRIME - EIGHTH, PRIME, PRIME + 1]
"""Of all points of order 1, 2, 4 and 8, also as they are written past the prime."""
SMALL = [(y | sign << 255).to_bytes(32, "little") for y in HEIGHTS for sign in (0, 1)]
IDENTITY = SMALL[2]


def pem(public_key: bytes) -> bytes:
    key = Ed25519PublicKey.from_public_bytes(public_key)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_the_library_itself_lets_anybody_sign_for_such_a_key() -> None:
    Ed25519PublicKey.from_public_bytes(IDENTITY).verify(IDENTITY + bytes(32), b"whatever it says")


@pytest.mark.parametrize("tells", [ed25519.is_of_small_order, verify_export.is_of_small_order])
def test_every_such_key_is_told_from_all_others(tells: Callable[[bytes], bool]) -> None:
    assert [tells(key) for key in SMALL] == [True] * len(SMALL)
    for _ in range(20):
        assert not tells(Ed25519PrivateKey.generate().public_key().public_bytes_raw())


@pytest.mark.parametrize("small", SMALL, ids=bytes.hex)
def test_it_is_refused_wherever_a_key_is_read(tmp_path: Path, small: bytes) -> None:
    file = tmp_path / "public.pem"
    file.write_bytes(pem(small))
    store = tmp_path / "trusted"
    for read in (
        lambda file: InstalledLicences(tmp_path / "licences", store).trust(file.read_bytes()),
        lambda file: ActingTokens(store).trust(file.read_bytes()),
        verifying_key,
        lambda path: verify_export.verify(path, path),
    ):
        with pytest.raises(Exception, match="for which anybody can sign"):
            read(file)
    assert not store.exists()
    key_id = key_id_of(Ed25519PublicKey.from_public_bytes(small))
    store.mkdir()
    (store / f"{key_id}.pem").write_bytes(pem(small))  # past the command
    with pytest.raises(Exception, match="for which anybody can sign"):
        TrustStore(store).key(key_id)
