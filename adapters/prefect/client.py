"""A client of the Prefect server at one address, whatever Prefect profile the user may have."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from domain.errors import PrefectUnavailable
from domain.secrets import shown_address

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


_PASSWORDS: dict[str, str] = {}
"""Those that were made here, by the address of the server that each opens: no other is sent one of them."""


def opens(api_url: str, password: str | None) -> None:
    """Let this process's clients of a server know the password that it wants."""
    if password is None:
        _PASSWORDS.pop(api_url, None)
    else:
        _PASSWORDS[api_url] = password


@contextmanager
def prefect_client(api_url: str) -> "Iterator[SyncPrefectClient]":
    """A client for as long as the `with` lasts. Raises `PrefectUnavailable` when the server does not answer."""
    import httpx
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.exceptions import PrefectHTTPStatusError

    there = shown_address(api_url)
    # Without TLS nothing is verified, and the certificates of all the world's authorities need not be read.
    settings = {"verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)} if api_url.startswith("http://") else None
    password = _PASSWORDS.get(api_url) or os.environ.get("PREFECT_API_AUTH_STRING")
    try:
        with SyncPrefectClient(api_url, auth_string=password, httpx_settings=settings) as client:
            yield client
    except (httpx.TransportError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "Failed to reach API" not in str(error):
            raise
        raise PrefectUnavailable(
            f"The Prefect server at {there} does not answer. Start one with: tmm up, or set PREFECT_API_URL."
        ) from error
    except PrefectHTTPStatusError as error:
        if error.response.status_code == 401:
            raise PrefectUnavailable(
                f"The Prefect server at {there} wants its password. Set PREFECT_API_AUTH_STRING to it: "
                "`tmm env` prints it where the server was started."
            ) from error
        if error.response.status_code < 500:
            raise
        raise PrefectUnavailable(
            f"The Prefect server at {there} is overloaded or broken (it answered {error.response.status_code}). "
            "Try again in a moment."
        ) from error
