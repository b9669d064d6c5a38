"""The Training Methods page as it is served here: for whom, at which address, and who may sign in how."""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING

from domain.errors import InvalidSettings, Unreachable
from infra.operating_system_user import operating_system_user
from infra.serving.prefect_password import PAGE, make_sign_in_key, spend_sign_in_key
from infra.settings import Settings

if TYPE_CHECKING:
    from adapters.web.app import SignIn
    from adapters.web.protection import Protection
    from infra.service import Service

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


def page_app_of(tmm: "Service", url: str) -> "Protection":
    """The page of this installation at this address."""
    from adapters.store.tables import kept_sessions
    from adapters.web.app import page_app
    from adapters.web.place import Place
    from domain.audit.operations import Way
    from domain.people.roles import EVERY_ROLE, Role, Roles
    from domain.people.sessions import Identity
    from domain.use_cases.signing_in import SigningIn

    settings = tmm.settings
    roles = Roles(
        operators=settings.operators,
        auditors=settings.auditors,
        code_authors=settings.code_authors,
        operator_groups=settings.oidc_operator_groups,
        auditor_groups=settings.oidc_auditor_groups,
    )

    def roles_of(identity: Identity) -> frozenset[Role]:
        return EVERY_ROLE if identity.way is Way.LOCAL_KEY else roles.of(identity.name, identity.groups)

    signing_in = SigningIn(
        tmm.log,
        kept_sessions(settings),
        user_of=tmm.person,
        roles_of=roles_of,
        reserved=[] if _asks_here(settings) else [operating_system_user()],
    )
    _ = tmm.catalogue, tmm.trainings, tmm.auditing  # made by one thread, before several ask for them
    return page_app(
        tmm.do,
        signing_in=signing_in,
        sign_in=_sign_in(settings),
        place=Place(
            url=url,
            trusted_proxies=settings.web_trusted_proxies,
            largest_upload=settings.web_largest_upload_mb << 20,
        ),
        alive=tmm.auditing.up_to,
        explain=tmm.explain,
        user_header=settings.web_user_header,
    )


def _sign_in(settings: Settings) -> "SignIn":
    if settings.oidc_issuer:
        from adapters.web.sign_in.oidc import OpenIDConnect
        from adapters.web.sign_in.provider import Provider

        def secret() -> str:
            with open(settings.oidc_client_secret_file, encoding="utf-8") as file:
                return file.read().strip()

        provider = Provider(settings.oidc_issuer, client_id=settings.oidc_client_id, secret=secret)
        return OpenIDConnect(provider, user_claim=settings.oidc_user_claim, groups_claim=settings.oidc_groups_claim)
    if settings.web_user_header:
        from adapters.web.sign_in.proxy import ProxyHeader

        return ProxyHeader(header=settings.web_user_header)
    from adapters.web.sign_in.local_key import LocalKey

    return LocalKey(user=operating_system_user(), spend=lambda key: spend_sign_in_key(settings, key, PAGE))


def _asks_here(settings: Settings) -> bool:
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
    return f"{url}/sign-in?key={make_sign_in_key(settings, PAGE)}" if _asks_here(settings) else url


def how_to_open(settings: Settings, url: str) -> str:
    """A sentence for the person at the terminal; for a log, which others may read, one without a key."""
    if not _asks_here(settings):
        return f"The Training Methods page is at {url}"
    if sys.stdout.isatty() and sys.stderr.isatty():
        return f"The Training Methods page, for you alone and within ten minutes: {link(settings, url)}"
    return f"The Training Methods page is at {url}; open it with the address that this prints: tmm web --key"


# The process.


def serve_page(descriptor: int) -> None:
    """The page on an open socket, until told to end."""
    import uvicorn

    from infra.service import Service

    settings = Settings.from_environment()
    bound = socket.socket(fileno=descriptor)
    with Service(settings) as tmm:
        config = uvicorn.Config(
            page_app_of(tmm, url_of(settings, bound.getsockname()[1])),
            log_level="warning",
            timeout_keep_alive=5,
            proxy_headers=False,  # who is believed is decided in one place
            server_header=False,
            timeout_graceful_shutdown=2,
            ssl_certfile=settings.web_certificate or None,
            ssl_keyfile=settings.web_key or None,
        )
        uvicorn.Server(config).run(sockets=[bound])


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host in _LOCAL
