"""The Training Methods page of this installation, as an app and as a process: who may sign in how."""

import socket
from pathlib import Path
from typing import TYPE_CHECKING

from infra.operating_system_user import operating_system_user
from infra.serving.page.people import signing_in_of
from infra.serving.page.place import url_of
from infra.serving.prefect_password import PAGE, spend_sign_in_key
from infra.settings import Settings

if TYPE_CHECKING:
    from adapters.web.app import SignIn
    from adapters.web.protection import Protection
    from infra.service import Service


def page_app_of(tmm: "Service", url: str) -> "Protection":
    """The page of this installation at this address."""
    from adapters.web.app import page_app
    from adapters.web.place import Place

    settings = tmm.settings
    _ = tmm.catalogue, tmm.trainings, tmm.auditing  # made by one thread, before several ask for them
    return page_app(
        tmm.do,
        signing_in=signing_in_of(tmm),
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
            return Path(settings.oidc_client_secret_file).read_text(encoding="utf-8").strip()

        provider = Provider(settings.oidc_issuer, client_id=settings.oidc_client_id, secret=secret)
        return OpenIDConnect(provider, user_claim=settings.oidc_user_claim, groups_claim=settings.oidc_groups_claim)
    if settings.web_user_header:
        from adapters.web.sign_in.proxy import ProxyHeader

        return ProxyHeader(header=settings.web_user_header)
    from adapters.web.sign_in.local_key import LocalKey

    return LocalKey(user=operating_system_user(), spend=lambda key: spend_sign_in_key(settings, key, PAGE))


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
