"""The door of a Prefect server of ours: who may come in at all, before Prefect itself asks for the password.

A browser carries pages of every origin to every server that it reaches, also to one on the person's own machine.
Prefect's password travels in a header that only the UI's own pages know; this is what else keeps the others out.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Collection
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SIGN_IN = "/sign-in"

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:\d{1,5})?", re.IGNORECASE)
_LONGEST_KEY = 200

# No other host is asked for anything: neither for a picture that somebody's description names, nor by analytics.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

# What the UI itself keeps under this name after its own form of signing in. The key stands behind the `#`, which
# browsers send to nobody.
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Signing in</title>
<style>:root { color-scheme: light dark } body { font: 1rem system-ui; margin: 20vh auto; max-width: 30rem }</style>
<p id="said">Signing in needs JavaScript, as the Prefect UI does.</p>
<script>
const said = document.getElementById("said"), key = location.hash.slice(1);
said.textContent = "Signing in …";
history.replaceState(null, "", location.pathname);
fetch(location.pathname, {method: "POST", body: key}).then(async (answer) => {
  const text = await answer.text();
  if (!answer.ok) { said.textContent = text; return; }
  localStorage.setItem("prefect-password", text);
  location.replace("./");
}).catch(() => { said.textContent = "The Prefect server does not answer. Try another link: tmm env --sign-in"; });
</script>
</html>
"""


class Door:
    """Lets through to Prefect what comes under a name of the server's own, and from no page of another origin.

    `names` are the server's own, `proxies` those of proxies in front of it, with a port where it is not the usual one.
    A number for a name is always its own: nobody can let a name of theirs be a number. `spend` says whether a key for
    signing in counts, once; for it the browser is given the password, as the UI keeps it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        names: Collection[str],
        proxies: Collection[str],
        password: str,
        spend: Callable[[str], bool],
    ) -> None:
        self._app = app
        self._names = {_name(name) for name in (*names, *proxies)} - {""}
        self._origins = {f"{scheme}://{proxy.lower()}" for proxy in proxies for scheme in ("http", "https")}
        self._password = password
        self._spend = spend

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused is not None:
            await refused(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == SIGN_IN:
            await (await self._sign_in(Request(scope, receive)))(scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send) if scope["type"] == "http" else send)

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if not self._is_ours(headers.getlist("host")):
            return PlainTextResponse(
                "This Prefect server is not known under that name. Its operator can name it in TMM_PREFECT_NAMES.",
                status_code=421,
            )
        if self._comes_from_elsewhere(scope, headers):
            return PlainTextResponse("Pages of other origins may not use this Prefect server.", status_code=403)
        return None

    def _is_ours(self, hosts: list[str]) -> bool:
        name = _name(hosts[0]) if len(hosts) == 1 else ""
        return name in self._names or _is_a_number(name)

    def _comes_from_elsewhere(self, scope: Scope, headers: Headers) -> bool:
        if (origin := headers.get("origin")) is not None:
            same = {f"{scheme}://{headers['host']}".lower() for scheme in ("http", "https")}
            return origin.lower() not in same | self._origins
        followed_a_link = (
            scope.get("method") == "GET"
            and headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"
        )
        return headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not followed_a_link

    async def _sign_in(self, request: Request) -> Response:
        headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
        if request.method != "POST":
            policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
            framing = "base-uri 'none'; frame-ancestors 'none'"
            return HTMLResponse(_PAGE, headers=headers | {"Content-Security-Policy": policy + framing})
        key = b""
        async for part in request.stream():
            key += part
            if len(key) > _LONGEST_KEY:
                break
        if not self._spend(key.decode(errors="replace")):
            words = "This link was used before, or is older than ten minutes. Make another with: tmm env --sign-in"
            return PlainTextResponse(words, status_code=403, headers=headers)
        return PlainTextResponse(b64encode(self._password.encode()).decode(), headers=headers)


def _name(host: str) -> str:
    """The name in a `Host` header without its port; empty for what is none."""
    found = _HOST.fullmatch(host)
    return found["name"].lower().rstrip(".") if found else ""


def _is_a_number(name: str) -> bool:
    try:
        return bool(ip_address(name.strip("[]")))
    except ValueError:
        return False


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
