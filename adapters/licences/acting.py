"""Short-lived tokens that say for whom a program acts: signed like licences, for one command with its parameters."""

import hashlib
import json
from collections.abc import Mapping, Sequence
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
class SignedToken:
    """What a token says whose signature holds: for whom, for what, from when until when (UTC), and which one it is.

    `parameters_hash` is that of the parameters for which it was issued.
    """

    person: str
    token_id: str
    key_id: str
    action: str
    parameters_hash: str
    issued: datetime
    expires: datetime

    def must_hold_at(self, now: datetime, *, action: str) -> None:
        """Raise `TokenDoesNotHold` unless it lets a program do this at this moment, whatever the parameters."""
        if self.expires - self.issued > LONGEST:
            raise TokenDoesNotHold(f"holds for longer than {LONGEST.seconds // 60} minutes, which none may")
        if now >= self.expires:
            raise TokenDoesNotHold(f"expired at {self.expires:%Y-%m-%d %H:%M:%S} UTC")
        if self.issued - now > _CLOCKS_DIFFER_BY:
            issued = f"{self.issued:%Y-%m-%d %H:%M:%S} UTC"
            raise TokenDoesNotHold(f"was issued in the future, at {issued}: compare the clocks")
        if self.action != action:
            raise TokenDoesNotHold(f"was issued to {self.action}, not to {action}")

    def must_be_for(self, parameters: Mapping[str, Any]) -> None:
        """Raise `TokenDoesNotHold` unless it was issued for exactly these parameters."""
        if self.parameters_hash != hash_of(parameters):
            raise TokenDoesNotHold("was issued for other parameters than these")


class ActingTokens:
    """Makes such tokens, and says for whom one lets a program act."""

    def __init__(self, trust_store: Path, clock: Clock | None = None) -> None:
        self._trusted = TrustStore(trust_store)
        self._clock = clock or MachineClock()

    def trust(self, content: bytes, *, called: str = "that was given") -> str:
        """Trust a public key, given as PEM, to say for whom a program acts; its key id. Raises `InvalidLicence`."""
        return self._trusted.trust(content, called=called)

    def file_of(self, key_id: str) -> Path:
        """The file of a key that is trusted so."""
        return self._trusted.file_of(key_id)

    def trusted_keys(self) -> Sequence[str]:
        """The ids of the keys that are trusted so, by whatever way they came there. Raises `OSError`."""
        return self._trusted.key_ids()

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

    def signed(self, token: object) -> SignedToken:
        """What a token says that a trusted key has signed. Raises `TokenDoesNotHold`."""
        try:
            if not isinstance(token, str):
                raise Unusable("is no text")
            claims, key_id = signed_claims(token.encode(), self._trusted, kind=KIND, what="token")
            return _signed(claims, key_id)
        except (Unusable, UnicodeError) as error:
            raise TokenDoesNotHold(str(error)) from None

    def must_hold_now(self, signed: SignedToken, *, action: str) -> None:
        """Raise `TokenDoesNotHold` unless the token lets a program do this now, whatever the parameters."""
        signed.must_hold_at(self._clock.time().now, action=action)

    def verified(self, token: str, *, action: str, parameters: Mapping[str, Any]) -> SignedToken:
        """The token that lets do this with these parameters, now. Raises `TokenDoesNotHold`."""
        signed = self.signed(token)
        self.must_hold_now(signed, action=action)
        signed.must_be_for(parameters)
        return signed


def hash_of(parameters: Mapping[str, Any]) -> str:
    """sha256 over the parameters as JSON with sorted names and no spaces, in hexadecimal."""
    text = json.dumps(parameters, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _signed(claims: dict[str, Any], key_id: str) -> SignedToken:
    if claims.keys() != _CLAIMS or not all(_is_a_name(claims[name]) for name in ("sub", "jti", "action", "parameters")):
        raise Unusable(f"must have exactly the claims {', '.join(sorted(_CLAIMS))}")
    if any(type(claims[name]) is not int for name in ("iat", "exp")):
        raise Unusable("must say when it was issued and when it expires, in whole seconds since 1970")
    try:
        issued, expires = (datetime.fromtimestamp(claims[name], UTC) for name in ("iat", "exp"))
    except (ValueError, OverflowError, OSError):
        raise Unusable("says a time that there is not") from None
    return SignedToken(
        person=claims["sub"],
        token_id=claims["jti"],
        key_id=key_id,
        action=claims["action"],
        parameters_hash=claims["parameters"],
        issued=issued,
        expires=expires,
    )


def _is_a_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200
