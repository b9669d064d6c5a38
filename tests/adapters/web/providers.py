"""OpenID providers: a real one in a process of its own, and one that says whatever a test lets it say."""

import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from fastapi import FastAPI, Form, Request, Response
from fastapi.responses import JSONResponse
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey

from tests.adapters.web.serving import served

DEADLINE_S = 60


@contextmanager
def real_provider() -> Iterator[str]:
    """The address of a provider that takes every client, and whoever says that they are somebody."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    issuer = f"http://localhost:{port}"
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), "--host", "localhost"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            ends = time.monotonic() + DEADLINE_S
            while True:
                try:
                    if httpx.get(f"{issuer}/.well-known/openid-configuration").is_success:
                        break
                except httpx.HTTPError:
                    assert time.monotonic() < ends
                    assert process.poll() is None
            yield issuer
        finally:
            process.terminate()


@dataclass
class Forger:
    """A provider whose tokens can be bent: `says` replaces claims, `signs` the key, `algorithm` how it is signed."""

    issuer: str = ""
    says: dict[str, Any] = field(default_factory=dict)
    signs: Any = None
    algorithm: str = "RS256"
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "ours", "use": "sig"}))
    _asked: dict[str, dict[str, str]] = field(default_factory=dict)

    def codes(self, address: str) -> dict[str, str]:
        """What a browser brings back from the address that our page led it to: a code, and its state."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        code = secrets.token_urlsafe(8)
        self._asked[code] = asked
        return {"code": code, "state": asked["state"]}

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/.well-known/openid-configuration")
        def about(request: Request) -> dict[str, Any]:
            self.issuer = str(request.base_url).rstrip("/")
            names = {"authorization_endpoint": "ask", "token_endpoint": "token", "jwks_uri": "keys"}
            return {"issuer": self.issuer, **{name: f"{self.issuer}/{path}" for name, path in names.items()}}

        @app.get("/keys")
        def keys() -> dict[str, Any]:
            return dict(KeySet([self.key]).as_dict(private=False))

        @app.post("/token")
        def token(code: str = Form(), code_verifier: str = Form("")) -> Response:
            asked = self._asked.pop(code, None)
            if asked is None or not code_verifier:
                return JSONResponse({"error": "invalid_grant"}, status_code=400)
            now = int(time.time())
            claims = {
                "iss": self.issuer,
                "aud": "tmm",
                "sub": "17",
                "iat": now,
                "exp": now + 300,
                "nonce": asked["nonce"],
                "preferred_username": "alice",
                **self.says,
            }
            header = {"alg": self.algorithm, "kid": "ours"}
            signed = jwt.encode(header, claims, self.signs or self.key, algorithms=[self.algorithm])
            return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": signed})

        return app


@contextmanager
def forging_provider() -> Iterator[Forger]:
    """A provider of ours, on a port of its own."""
    forger = Forger()
    with served(forger.app()) as address:
        forger.issuer = address.rstrip("/")
        yield forger


A_SHARED_SECRET = OctKey.import_key("a secret that is long enough to sign with it")
