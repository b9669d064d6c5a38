"""Where the Training Methods page is served, whether that is safe, and the address that opens it."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address

from domain.errors import InvalidSettings, Unreachable
from infra.serving.prefect_password import PAGE, make_sign_in_key
from infra.settings import Settings

_LOCAL = ("localhost", "127.0.0.1", "::1")


def must_be_safe(settings: Settings) -> None:
    """Raise `InvalidSettings` where strangers could reach the page and nobody would ask them who they are."""
    if bool(settings.web_certificate) != bool(settings.web_key):
        raise InvalidSettings("TMM_WEB_CERTIFICATE, TMM_WEB_KEY: set both, or neither.")
    if settings.web_user_header and not settings.web_trusted_proxies:
        raise InvalidSettings(
            f"TMM_WEB_USER_HEADER: anybody could send the header {settings.web_user_header}. Name the proxies that are "
            "believed in TMM_WEB_TRUSTED_PROXIES."
        )
    if settings.oidc_issuer and settings.web_user_header:
        raise InvalidSettings("TMM_OIDC_ISSUER, TMM_WEB_USER_HEADER: people sign in in one way. Set one of them.")
    if settings.oidc_issuer and not (settings.oidc_client_id and settings.oidc_client_secret_file):
        raise InvalidSettings("TMM_OIDC_ISSUER: set TMM_OIDC_CLIENT_ID and TMM_OIDC_CLIENT_SECRET_FILE too.")
    if _is_loopback(settings.web_host):
        return
    if not settings.oidc_issuer and not settings.web_user_header:
        raise InvalidSettings(
            f"TMM_WEB_HOST: at {settings.web_host} others reach the page, and nothing says who they are. Set "
            "TMM_OIDC_ISSUER with TMM_OIDC_CLIENT_ID and TMM_OIDC_CLIENT_SECRET_FILE, or TMM_WEB_USER_HEADER with "
            "TMM_WEB_TRUSTED_PROXIES; or leave TMM_WEB_HOST at 127.0.0.1."
        )
    if not settings.web_certificate and not (settings.web_url.startswith("https://") and settings.web_trusted_proxies):
        raise InvalidSettings(
            f"TMM_WEB_HOST: at {settings.web_host} others reach the page, and what they send would be open to all. Set "
            "TMM_WEB_CERTIFICATE and TMM_WEB_KEY; or let a proxy speak TLS, and name it in TMM_WEB_TRUSTED_PROXIES and "
            "its address in TMM_WEB_URL, with https."
        )


def asks_here(settings: Settings) -> bool:
    """Whether whoever runs the page is the one who signs in."""
    return not settings.oidc_issuer and not settings.web_user_header


# Where it is.


def url_of(settings: Settings, port: int) -> str:
    """The address at which people reach the page that is served on this port."""
    scheme = "https" if settings.web_certificate else "http"
    host = f"[{settings.web_host}]" if ":" in settings.web_host else settings.web_host
    return settings.web_url.rstrip("/") or f"{scheme}://{host}:{port}"


@contextmanager
def known_page(settings: Settings, url: str) -> Iterator[None]:
    """Let `tmm web --key` of this data folder find the page, for as long as the `with` lasts."""
    file = settings.home / "page.json"
    file.write_text(json.dumps({"url": url, "pid": os.getpid()}), encoding="utf-8")
    file.chmod(0o600)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def page_link(settings: Settings) -> str:
    """An address that leads to the page that is served here; on a machine of one's own it signs a browser in, once.

    Raises `Unreachable` where no page of this data folder is served.
    """
    with suppress(OSError, ValueError, KeyError):
        said = json.loads((settings.home / "page.json").read_bytes())
        os.kill(said["pid"], 0)  # a supervisor that was killed could not forget its page
        return link(settings, str(said["url"]))
    raise Unreachable("No page of this data folder is served. Serve it with: tmm up, or tmm web")


def link(settings: Settings, url: str) -> str:
    """The page's address, with a fresh key where whoever runs it is the one who signs in."""
    return f"{url}/sign-in?key={make_sign_in_key(settings, PAGE)}" if asks_here(settings) else url


def how_to_open(settings: Settings, url: str) -> str:
    """A sentence for the person at the terminal; for a log, which others may read, one without a key."""
    if not asks_here(settings):
        return f"The Training Methods page is at {url}"
    if sys.stdout.isatty() and sys.stderr.isatty():
        return f"The Training Methods page, for you alone and within ten minutes: {link(settings, url)}"
    return f"The Training Methods page is at {url}; open it with the address that this prints: tmm web --key"


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host in _LOCAL
