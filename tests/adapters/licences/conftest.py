"""An issuer whom the installation trusts, a stranger, and an installation with one user, alice."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.licences import InstalledLicences
from adapters.licences.keys import generate_pair, key_id_of, private_key
from adapters.licences.tokens import KIND, sign
from domain.people.licences import Licence
from domain.people.users import Edition

NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Issuer:
    """Whoever signs: `token` as the service does it, `forge` with any header and any claims' text."""

    folder: Path

    @property
    def key(self) -> Ed25519PrivateKey:
        return private_key(self.folder / "private.pem")

    @property
    def key_id(self) -> str:
        return key_id_of(self.key.public_key())

    @property
    def public_pem(self) -> Path:
        return self.folder / "public.pem"

    def token(self, **facts: Any) -> bytes:
        licence = {
            "licence_id": "L-1",
            "customer": "Acme",
            "users": ("alice",),
            "edition": Edition.COMMERCIAL,
            "not_before": NOW - timedelta(days=1),
            "expires": NOW + timedelta(days=1),
            "key_id": self.key_id,
        }
        return sign(Licence(**licence | facts), self.key, issued_at=NOW)

    def claims(self, **changed: Any) -> dict[str, Any]:
        times = {"iat": int(NOW.timestamp()), "nbf": int(NOW.timestamp()) - 60, "exp": int(NOW.timestamp()) + 3600}
        who = {"jti": "L-1", "customer": "Acme", "users": ["alice"], "edition": "commercial"}
        return who | times | changed

    def header(self, **changed: Any) -> dict[str, Any]:
        return {"alg": "EdDSA", "kid": self.key_id, "typ": KIND} | changed

    def forge(self, header: Any, claims: Any) -> bytes:
        """A token with exactly these parts (texts as they are), rightly signed with this issuer's key."""
        signed = part(header) + b"." + part(claims)
        return signed + b"." + encoded(self.key.sign(signed))


def part(value: Any) -> bytes:
    return encoded((value if isinstance(value, str) else json.dumps(value)).encode())


def encoded(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")


@dataclass(frozen=True)
class Site:
    """One installation's folders."""

    folder: Path
    trust_store: Path

    @property
    def licences(self) -> InstalledLicences:
        return InstalledLicences(self.folder, self.trust_store)

    def put(self, content: bytes, name: str = "a.licence") -> Path:
        """A file in the folder of the licences, past every check, as whoever may write there can."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content)
        return self.folder / name

    def reason(self, user: str = "alice") -> str:
        """Why the user is noncommercial; asserts that they are."""
        entitlement = self.licences.entitlement_of(user)
        assert entitlement.edition is Edition.NONCOMMERCIAL
        assert entitlement.licence_id is None
        return entitlement.because


@pytest.fixture(scope="session")
def make_issuer(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Issuer]:
    def make() -> Issuer:
        folder = tmp_path_factory.mktemp("issuer")
        generate_pair(folder)
        return Issuer(folder)

    return make


@pytest.fixture(scope="session")
def issuer(make_issuer: Callable[[], Issuer]) -> Issuer:
    return make_issuer()


@pytest.fixture(scope="session")
def stranger(make_issuer: Callable[[], Issuer]) -> Issuer:
    return make_issuer()


@pytest.fixture
def site(tmp_path: Path, issuer: Issuer) -> Site:
    here = Site(tmp_path / "licences", tmp_path / "trust-store")
    here.licences.trust(issuer.public_pem.read_bytes())
    return here
