"""For a team whose proxy has asked already: a header says who it is, from the addresses of that proxy alone."""

from fastapi import APIRouter, Request, Response

from adapters.web.doorkeeper import AtTheDoor, Doorkeeper, came_of
from adapters.web.place import header_once
from domain.audit.operations import Way
from domain.people.sessions import Identity, Session


class ProxyHeader:
    """Signs in whom the header names, and takes nobody for signed in whom it does not name any more."""

    def __init__(self, *, header: str) -> None:
        self._header = header

    def still_holds(self, request: Request, session: Session) -> bool:
        """For as long as the proxy says the same name."""
        return session.identity == Identity(name=self._name(request), way=Way.PROXY)

    def routes(self) -> APIRouter:
        """`/sign-in`."""
        router = APIRouter()

        @router.get("/sign-in")
        def sign_in(request: Request, door: AtTheDoor, to: str = "/") -> Response:
            return door.too_often(request) or self._sign_in(request, door, to)

        return router

    def _sign_in(self, request: Request, door: Doorkeeper, to: str) -> Response:
        if not (name := self._name(request)):
            words = (
                f"The proxy in front of this page has to say who you are, in the header {self._header}, once. "
                f"Come by {door.place.url}, or tell an operator."
            )
            return door.refuse(request, "no name from a proxy", words, status=401)
        return door.let_in(request, Identity(name=name, way=Way.PROXY), to=to)

    def _name(self, request: Request) -> str:
        if not came_of(request).by_proxy:
            return ""
        given = header_once(request.headers, self._header) or ""
        try:
            return given.encode("latin-1").decode("utf-8")
        except UnicodeError:
            return ""
