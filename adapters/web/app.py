"""The page as one app: its routes, behind what protects it and whoever keeps its door."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol
from urllib.parse import quote

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from adapters.web.doorkeeper import Asking, AtTheDoor, Doorkeeper, guarded, request_id_of
from adapters.web.pages import ROUTERS
from adapters.web.person import NotSignedIn
from adapters.web.place import Place
from adapters.web.plain import plain_page
from adapters.web.protection import Protection
from domain.errors import Refused, TrainingMethodError, Unreachable
from domain.use_cases.act import Do
from domain.use_cases.signing_in import SigningIn


class SignIn(Asking, Protocol):
    """A way in which people prove who they are."""

    def routes(self) -> APIRouter:
        """`/sign-in`, and what else it needs."""
        ...


def page_app(
    do: Do,
    *,
    signing_in: SigningIn,
    sign_in: SignIn,
    place: Place,
    alive: Callable[[], object],
    explain: Callable[[Exception], TrainingMethodError | None],
    user_header: str = "",
    routers: Sequence[APIRouter] = ROUTERS,
) -> Protection:
    """The page at this place. `alive` raises where what it needs is away, `explain` puts errors in our words."""
    app = FastAPI(title="Training Methods", docs_url=None, redoc_url=None, openapi_url=None)
    door = Doorkeeper(signing_in, place)
    door.asking = sign_in
    app.state.do, app.state.doorkeeper = do, door
    for router in routers:
        app.include_router(router, dependencies=[Depends(guarded)])
    app.include_router(sign_in.routes())
    app.include_router(_at_the_door(alive))
    app.add_exception_handler(NotSignedIn, _sign_in_first)
    app.add_exception_handler(HTTPException, _told)
    app.add_exception_handler(Exception, _explained(explain))
    return Protection(app, place=place, turned_away=door.turned_away, user_header=user_header)


def _at_the_door(alive: Callable[[], object]) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz")
    def healthz() -> Response:
        try:
            alive()
        except Exception:  # whatever it is, the page is of no use now
            return PlainTextResponse("The database cannot be reached.", status_code=503)
        return PlainTextResponse("ok")

    @router.post("/sign-out", dependencies=[Depends(guarded)])
    def sign_out(request: Request, door: AtTheDoor) -> Response:
        return door.let_out(request)

    @router.get("/signed-out")
    def signed_out() -> Response:
        return plain_page("Signed out", "Your session here is over.", way_on=("/sign-in", "Sign in again"))

    return router


def _sign_in_first(request: Request, _: Exception) -> Response:
    """Lead a browser to where one signs in, and tell everything else to."""
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse("/sign-in" if path == "/" else f"/sign-in?to={quote(path, safe='')}", status_code=303)
    return PlainTextResponse("Sign in first, at /sign-in.", status_code=401)


def _told(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = {404: "Not found", 413: "Too large"}.get(error.status_code, "Not possible")
    return plain_page(
        title,
        error.detail,
        status=error.status_code,
        way_on=("/", "Training Methods"),
        headers=dict(error.headers or {}),
    )


def _explained(
    explain: Callable[[Exception], TrainingMethodError | None],
) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def told(request: Request, error: Exception) -> Response:
        ours = error if isinstance(error, TrainingMethodError) else await run_in_threadpool(explain, error)
        if ours is None:
            words = f"Something unexpected went wrong. Tell an operator of this request: {request_id_of(request)}"
            return plain_page("Not possible", words, status=500)
        away = isinstance(ours, Unreachable)
        status = 503 if away else 403 if isinstance(ours, Refused) else 422
        headers = {"Retry-After": "5"} if away else None
        return plain_page("Not now" if away else "Not possible", str(ours), status=status, headers=headers)

    return told
