"""The OpenID provider: where it is, and what it says of somebody, once that is proven to be its word for us."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from adapters.web.sign_in.pending import Pending
from domain.errors import InvalidSettings

_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""A shared secret or nothing at all signs no token that we believe."""

_SCOPES = ("openid", "profile", "email", "groups")
_ALWAYS_ASKED = frozenset({"openid", "profile"})
_ANSWERS_WITHIN_S = 10.0
_LEEWAY_S = 60
_KNOWN_FOR_S = 3600.0
_NOT_ASKED_AGAIN_WITHIN_S = 30.0
_LOCAL = ("localhost", "127.0.0.1", "::1")


class ProviderAway(Exception):
    """The provider does not answer, or not as one: a sentence that says so."""


class TokenNotBelieved(Exception):
    """What is wrong with a token, or with the code for it."""


class Provider:
    """An OpenID provider that knows us as `client_id`; `secret` reads what proves that it is us."""

    def __init__(self, issuer: str, *, client_id: str, secret: Callable[[], str]) -> None:
        must_be_reached_safely(issuer)
        self.issuer = issuer
        self._client_id = client_id
        self._secret = secret
        self._http = httpx.Client(timeout=_ANSWERS_WITHIN_S, follow_redirects=False)
        self._one_at_a_time = threading.Lock()
        self._said: dict[str, Any] | None = None
        self._keys: KeySet | None = None
        self._said_at = self._keys_at = 0.0

    def address(self, *, state: str, pending: Pending, back_to: str) -> str:
        """Where a browser signs in. Raises `ProviderAway`."""
        said = self._about()
        supported = said.get("scopes_supported")
        scopes = [s for s in _SCOPES if s in _ALWAYS_ASKED or (isinstance(supported, list) and s in supported)]
        with self._client(back_to, scope=" ".join(scopes)) as client:
            address, _ = client.create_authorization_url(
                said["authorization_endpoint"], state=state, code_verifier=pending.verifier, nonce=pending.nonce
            )
        return str(address)

    def claims(self, code: str, pending: Pending, *, wanted: str, back_to: str) -> Mapping[str, Any]:
        """What the provider says of whoever brings this code. Raises `ProviderAway` and `TokenNotBelieved`."""
        said = self._about()
        try:
            with self._client(back_to) as client:
                token = client.fetch_token(said["token_endpoint"], code=code, code_verifier=pending.verifier)
        except AuthlibBaseError as error:
            raise TokenNotBelieved(f"it does not take its code back ({error.error})") from error
        except (httpx.HTTPError, ValueError) as error:
            raise self._away(error) from error
        if not isinstance(signed := token.get("id_token"), str):
            raise TokenNotBelieved("it gives no ID token")
        claims = self._believed(signed, pending, access_token=token.get("access_token"))
        if wanted not in claims and "userinfo_endpoint" in said:
            claims = {**self._userinfo(said["userinfo_endpoint"], token, subject=claims["sub"]), **claims}
        return claims

    def _believed(self, signed: str, pending: Pending, *, access_token: object) -> dict[str, Any]:
        token = self._decoded(signed)
        claims = CodeIDToken(
            token.claims,
            token.header,
            options={
                "iss": {"essential": True, "value": self.issuer},
                "aud": {"essential": True, "value": self._client_id},
                "sub": {"essential": True},
            },
            params={"nonce": pending.nonce, "client_id": self._client_id, "access_token": access_token},
        )
        try:
            claims.validate(leeway=_LEEWAY_S)
        except JoseError as error:
            raise TokenNotBelieved(f"its ID token does not hold ({error})") from error
        if not claims["sub"] or not isinstance(claims["sub"], str):
            raise TokenNotBelieved("its ID token has no subject")
        return dict(claims)

    def _decoded(self, signed: str) -> jwt.Token:
        try:
            return jwt.decode(signed, self._keys_now(anew=False), algorithms=list(_ALGORITHMS))
        except (JoseError, ValueError):
            # It may be signed with a key that came after we asked for them.
            try:
                return jwt.decode(signed, self._keys_now(anew=True), algorithms=list(_ALGORITHMS))
            except (JoseError, ValueError) as error:
                raise TokenNotBelieved(f"its ID token is not signed by it ({error})") from error

    def _userinfo(self, endpoint: str, token: Mapping[str, Any], *, subject: str) -> dict[str, Any]:
        said = self._asked(endpoint, headers={"Authorization": f"Bearer {token.get('access_token')}"})
        if said.get("sub") != subject:
            raise TokenNotBelieved("it speaks of somebody else than its ID token does")
        return said

    # What it says of itself.

    def _about(self) -> dict[str, Any]:
        with self._one_at_a_time:
            if self._said is None or time.monotonic() - self._said_at > _KNOWN_FOR_S:
                said = self._asked(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
                if said.get("issuer") != self.issuer:
                    raise ProviderAway(
                        f"What answers at {self.issuer} is another issuer than TMM_OIDC_ISSUER says. Tell an operator."
                    )
                for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                    try:
                        must_be_reached_safely(said.get(name))
                    except InvalidSettings as error:
                        raise ProviderAway(f"The identity provider's {name} is no address by TLS.") from error
                self._said, self._said_at = said, time.monotonic()
            return self._said

    def _keys_now(self, *, anew: bool) -> KeySet:
        said = self._about()
        with self._one_at_a_time:
            age = time.monotonic() - self._keys_at
            if self._keys is None or age > _KNOWN_FOR_S or (anew and age > _NOT_ASKED_AGAIN_WITHIN_S):
                self._keys = KeySet.import_key_set(self._asked(said["jwks_uri"]))  # type: ignore[arg-type]
                self._keys_at = time.monotonic()
            return self._keys

    def _asked(self, address: str, *, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        try:
            answer = self._http.get(address, headers=headers)
            answer.raise_for_status()
            said = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise self._away(error) from error
        if not isinstance(said, dict):
            raise ProviderAway(f"What answers at {self.issuer} is no OpenID provider. Tell an operator.")
        return said

    def _client(self, back_to: str, *, scope: str | None = None) -> OAuth2Client:
        methods = (self._said or {}).get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return OAuth2Client(
            client_id=self._client_id,
            client_secret=self._secret(),
            token_endpoint_auth_method=(
                "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post"
            ),
            scope=scope,
            redirect_uri=back_to,
            code_challenge_method="S256",
            timeout=_ANSWERS_WITHIN_S,
            follow_redirects=False,
        )

    def _away(self, error: Exception) -> ProviderAway:
        return ProviderAway(
            f"The identity provider {self.issuer} does not answer as one ({type(error).__name__}). "
            "Try again in a while, or tell an operator."
        )


def must_be_reached_safely(address: object) -> None:
    """Raise `InvalidSettings` for what is no address by TLS, or of this machine."""
    parts = urlsplit(address) if isinstance(address, str) else urlsplit("")
    if (
        not parts.hostname
        or parts.scheme not in ("https", "http")
        or (parts.scheme == "http" and parts.hostname not in _LOCAL)
    ):
        raise InvalidSettings(f"TMM_OIDC_ISSUER: must be an https:// address, not {address!r}.")
