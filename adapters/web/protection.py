"""What every request passes before the page sees it, and what every answer carries.

A browser takes pages of every origin to every server that it reaches, also to one on the person's own machine: under a
name of the stranger's that leads here, from a form of the stranger's, or within a frame of the stranger's. All of that
ends here.
"""

import logging
from collections.abc import Callable
from uuid import UUID, uuid4

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.web.place import Came, Place
from domain.printable import printable

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
REQUEST_ID = "X-Request-Id"

HEADERS = {
    # No script or style but our files, nothing from elsewhere, and in nobody's frame.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
_ONLY_BY_TLS = {"Strict-Transport-Security": "max-age=31536000"}

_LARGEST_FORM = 4 << 20
_FOR_EVERYBODY = "/healthz"

log = logging.getLogger("tmm.page")

TurnedAway = Callable[[str, Came, str, UUID], None]
"""Remembers an attempt: its kind, how it came, why it was refused, and the request's id."""


class Protection:
    """The app, behind all that protects it. `user_header` is one that trusted proxies alone may send."""

    def __init__(self, app: ASGIApp, *, place: Place, turned_away: TurnedAway, user_header: str = "") -> None:
        self._app = app
        self._place = place
        self._turned_away = turned_away
        self._user_header = user_header
        self._headers = HEADERS | (_ONLY_BY_TLS if place.is_secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        request_id, came = uuid4(), self._place.came(scope)
        scope.setdefault("state", {}).update(request_id=request_id, came=came)
        sending = _Sending(send, self._headers | {REQUEST_ID: str(request_id)})
        if (refused := self._refused(scope, came)) is not None:
            kind, status, because = refused
            await run_in_threadpool(self._turned_away, kind, came, because, request_id)
            await PlainTextResponse(because, status_code=status)(scope, receive, sending)
            return
        try:
            await self._app(scope, self._limited(scope, receive), sending)
        except Exception:
            # The person was told already, by the app's own handler.
            log.exception("%s %s failed [%s]", scope["method"], printable(scope["path"], at_most=200), request_id)
            if not sending.began:
                words = f"Something unexpected went wrong. Tell an operator of this request: {request_id}"
                await PlainTextResponse(words, status_code=500)(scope, receive, sending)

    def _refused(self, scope: Scope, came: Came) -> tuple[str, int, str] | None:
        headers = Headers(scope=scope)
        if came.name not in self._place.names:
            return (
                "forged host",
                421,
                "This page is not known under that name. Its operator can name it in TMM_WEB_URL.",
            )
        if self._user_header and self._user_header in headers and not came.by_proxy:
            words = "Only the proxies named in TMM_WEB_TRUSTED_PROXIES say here who somebody is."
            return "forged user header", 403, words
        if self._place.is_secure and came.scheme != "https" and scope["path"] != _FOR_EVERYBODY:
            words = (
                f"This page is reached at {self._place.url}, by TLS, and this request did not come that way. "
                "A proxy in front of it says X-Forwarded-Proto and is named in TMM_WEB_TRUSTED_PROXIES."
            )
            return "forged way in", 403, words
        if self._comes_from_elsewhere(scope, headers, came):
            return "forged request", 403, "Pages of other origins may not use this one."
        return None

    def _comes_from_elsewhere(self, scope: Scope, headers: Headers, came: Came) -> bool:
        acts = scope["method"] not in SAFE_METHODS
        if (origin := headers.get("origin")) is not None and acts:
            return origin.lower() not in came.origins | {self._place.url.lower()}
        followed_a_link = (
            not acts and headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        )
        return headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not followed_a_link

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """What is sent is never more than it may be, whatever its headers say."""
        headers = Headers(scope=scope)
        has_files = headers.get("content-type", "").startswith("multipart/form-data")
        most = self._place.largest_upload if has_files else _LARGEST_FORM
        length = headers.get("content-length", "")
        came = 0

        async def receiving() -> Message:
            nonlocal came
            if length.isdecimal() and int(length) > most:
                raise _too_large(most)
            message = await receive()
            came += len(message.get("body", b""))
            if came > most:
                raise _too_large(most)
            return message

        return receiving


def _too_large(most: int) -> HTTPException:
    words = f"At most {most >> 20} MB can be sent at once. The operator can allow more in TMM_WEB_LARGEST_UPLOAD_MB."
    return HTTPException(413, words, headers={"Connection": "close"})


class _Sending:
    """Sends an answer with the headers that all have, unless it has them itself."""

    def __init__(self, send: Send, headers: dict[str, str]) -> None:
        self._send = send
        self._headers = headers
        self.began = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.began = True
            headers = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                headers.setdefault(name, value)
        await self._send(message)
