"""Licence tokens: a compact JWS with one algorithm, one shape of header, and claims that stand once each."""

import base64
import binascii
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from adapters.licences.files import Unusable
from adapters.licences.keys import TrustStore, key_id_of
from domain.people.licences import Licence

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ALGORITHM = "EdDSA"
KIND = "tmm-licence+jwt"
"""The header's `typ`: a token that was signed for another purpose is no licence."""

_HEADER = {"alg", "kid", "typ"}
_BRINGS_A_KEY = {"jwk", "jku", "x5c", "x5u", "x5t", "x5t#S256"}
_CLAIMS = {"jti", "customer", "users", "edition", "iat", "nbf", "exp"}


def sign(licence: Licence, key: "Ed25519PrivateKey", *, issued_at: datetime) -> bytes:
    """The licence as a token signed with this key, in whole seconds."""
    import jwt

    claims = {
        "jti": licence.licence_id,
        "customer": licence.customer,
        "users": list(licence.users),
        "edition": licence.edition.value,
        "iat": int(issued_at.timestamp()),
        "nbf": int(licence.not_before.timestamp()),
        "exp": int(licence.expires.timestamp()),
    }
    headers = {"kid": key_id_of(key.public_key()), "typ": KIND}
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers=headers).encode()


def verify(content: bytes, trusted: TrustStore) -> Licence:
    """The licence in a token whose signature holds. Raises `Unusable`, completing «the licence …».

    Everything is looked at before any of it is believed: what the token says about itself chooses nothing but which of
    the trusted keys must have signed it.
    """
    claims, key_id = signed_claims(content, trusted, kind=KIND, what="licence token")
    return _licence(claims, key_id)


def issuer_claimed(content: bytes) -> str | None:
    """The key id that a token names, which nobody has verified; None where nothing can be read."""
    try:
        return _key_id(_object(content.strip().partition(b".")[0], "header"), KIND)
    except Unusable:
        return None


def signed_claims(content: bytes, trusted: TrustStore, *, kind: str, what: str) -> tuple[dict[str, Any], str]:
    """The claims of a token of this kind whose signature holds, and the id of the key. Raises `Unusable`."""
    import jwt

    token = content.strip()
    parts = token.split(b".")
    if len(parts) != 3:
        raise Unusable(f"is not a {what}: header, claims and signature with a dot between")
    header, claims = (_object(part, where) for part, where in ((parts[0], "header"), (parts[1], "claims")))
    key_id = _key_id(header, kind)
    key = trusted.key(key_id)
    try:
        jwt.PyJWS(algorithms=[ALGORITHM]).decode(token, key, algorithms=[ALGORITHM])
    except jwt.PyJWTError:
        raise Unusable(f"was changed after it was signed, or not signed with the key {key_id}") from None
    return claims, key_id


def _key_id(header: dict[str, Any], kind: str) -> str:
    if brought := sorted(_BRINGS_A_KEY & header.keys()):
        raise Unusable(f"brings a key of its own ({', '.join(brought)}); only keys of the trust store count")
    if header.get("alg") != ALGORITHM:
        raise Unusable(f"is signed by the algorithm {str(header.get('alg'))[:40]!r}; only {ALGORITHM} is accepted")
    if header.keys() != _HEADER or header["typ"] != kind or not isinstance(header["kid"], str):
        raise Unusable(f"must have exactly alg, kid and typ ({kind}) in its header")
    return str(header["kid"])


def _licence(claims: dict[str, Any], key_id: str) -> Licence:
    if claims.keys() != _CLAIMS:
        odd = ", ".join(sorted(claims.keys() ^ _CLAIMS))[:100]
        raise Unusable(f"must have exactly the claims {', '.join(sorted(_CLAIMS))} (missing or too many: {odd})")
    try:
        return Licence(
            licence_id=claims["jti"],
            customer=claims["customer"],
            users=claims["users"],
            edition=claims["edition"],
            not_before=_moment(claims["nbf"]),
            expires=_moment(claims["exp"]),
            key_id=key_id,
        )
    except (ValidationError, ValueError, OverflowError, OSError):
        raise Unusable("has claims that make no sense, although its signature holds") from None


def _moment(value: object) -> datetime:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("a time is whole seconds since 1970")
    return datetime.fromtimestamp(value, UTC)


def _object(part: bytes, where: str) -> dict[str, Any]:
    """One part of the token as a JSON object in which each name stands once."""
    try:
        padded = part + b"=" * (-len(part) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        value = json.loads(text, object_pairs_hook=_each_name_once, parse_constant=_no_constant)
    except Unusable as error:
        raise Unusable(f"{error} in its {where}") from None
    except (binascii.Error, ValueError, RecursionError):
        raise Unusable(
            f"has {where} that cannot be read" if where == "claims" else "has an unreadable header"
        ) from None
    if not isinstance(value, dict):
        raise Unusable(f"has no JSON object as its {where}")
    return value


def _each_name_once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for name, inner in pairs:
        if name in value:
            raise Unusable(f"says {name[:40]!r} twice")
        value[name] = inner
    return value


def _no_constant(name: str) -> None:
    raise ValueError(name)
