"""Short-lived tokens that say for whom a program acts: signed like licences, for one command with its parameters."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from adapters.licences.files import Unusable
from adapters.licences.keys import TrustStore, private_key
from adapters.licences.tokens import ALGORITHM, signed_claims
from domain.clock import Clock, MachineClock
from domain.errors import TokenDoesNotHold

KIND = "tmm-acting+jwt"
LONGEST = timedelta(hours=1)

_CLAIMS = {"jti", "sub", "action", "parameters", "iat", "exp"}
_CLOCKS_DIFFER_BY = timedelta(seconds=60)


@dataclass(frozen=True)
class ActingToken:
    """What a token says whose signature holds: for whom, and which token it is. `expires` is UTC."""

    person: str
    token_id: str
    key_id: str
    expires: datetime


class ActingTokens:
    """Makes such tokens, and says for whom one lets a program act."""

    def __init__(self, trust_store: Path, clock: Clock | None = None) -> None:
        self._trusted = TrustStore(trust_store)
        self._clock = clock or MachineClock()

    def trust(self, public_key: Path) -> str:
        """Trust a public key to say for whom a program acts; its key id. Raises `InvalidLicence`."""
        return self._trusted.trust(public_key)

    def issue(self, key: Path, *, person: str, action: str, parameters: Mapping[str, Any], minutes: int) -> str:
        """A token with which a program may do this one thing for this person. Raises `InvalidLicence` for the key."""
        import jwt

        from adapters.licences.keys import key_id_of

        signing, now = private_key(key), datetime.now(UTC)
        claims = {
            "jti": str(uuid4()),
            "sub": person,
            "action": action,
            "parameters": hash_of(parameters),
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(minutes=minutes)).timestamp()),
        }
        headers = {"kid": key_id_of(signing.public_key()), "typ": KIND}
        return jwt.encode(claims, signing, algorithm=ALGORITHM, headers=headers)

    def verified(self, token: object, *, action: str, parameters: Mapping[str, Any]) -> ActingToken:
        """The token that lets do this with these parameters, now. Raises `TokenDoesNotHold`."""
        try:
            if not isinstance(token, str):
                raise Unusable("is no text")
            claims, key_id = signed_claims(token.encode(), self._trusted, kind=KIND, what="token")
            return _verified(claims, key_id, action=action, parameters=parameters, now=self._clock.time().now)
        except (Unusable, UnicodeError) as error:
            raise TokenDoesNotHold(str(error)) from None


def hash_of(parameters: Mapping[str, Any]) -> str:
    """sha256 over the parameters as JSON with sorted names and no spaces, in hexadecimal."""
    text = json.dumps(parameters, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _verified(
    claims: dict[str, Any], key_id: str, *, action: str, parameters: Mapping[str, Any], now: datetime
) -> ActingToken:
    if claims.keys() != _CLAIMS or not all(_is_a_name(claims[name]) for name in ("sub", "jti")):
        raise Unusable(f"must have exactly the claims {', '.join(sorted(_CLAIMS))}")
    if any(type(claims[name]) is not int for name in ("iat", "exp")):
        raise Unusable("must say when it was issued and when it expires, in whole seconds since 1970")
    issued, expires = (datetime.fromtimestamp(claims[name], UTC) for name in ("iat", "exp"))
    if expires - issued > LONGEST:
        raise Unusable(f"holds for longer than {LONGEST.seconds // 60} minutes, which none may")
    if now >= expires:
        raise Unusable(f"expired at {expires:%Y-%m-%d %H:%M:%S} UTC")
    if issued - now > _CLOCKS_DIFFER_BY:
        raise Unusable(f"was issued in the future, at {issued:%Y-%m-%d %H:%M:%S} UTC: compare the clocks")
    if claims["action"] != action:
        raise Unusable(f"was issued to {claims['action']}, not to {action}")
    if claims["parameters"] != hash_of(parameters):
        raise Unusable("was issued for other parameters than these")
    return ActingToken(person=claims["sub"], token_id=claims["jti"], key_id=key_id, expires=expires)


def _is_a_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200
