"""On a machine of one's own: whoever opens an address with a fresh key is the user who started the page."""

from collections.abc import Callable

from fastapi import APIRouter, Request, Response

from adapters.web.doorkeeper import AtTheDoor, Doorkeeper
from adapters.web.plain import plain_page
from domain.audit.operations import Way
from domain.people.sessions import Identity, Session

_LONGEST_KEY = 200


class LocalKey:
    """Signs in `user` for a key that `spend` says counts, once and within ten minutes."""

    def __init__(self, *, user: str, spend: Callable[[str], bool]) -> None:
        self._identity = Identity(name=user, way=Way.LOCAL_KEY)
        self._spend = spend

    def still_holds(self, request: Request, session: Session) -> bool:
        """Also after a restart, unless it was begun for somebody else who ran the page."""
        return session.identity == self._identity

    def routes(self) -> APIRouter:
        """`/sign-in?key=…`."""
        router = APIRouter()

        @router.get("/sign-in")
        def sign_in(request: Request, door: AtTheDoor, key: str = "", to: str = "/") -> Response:
            if (wait := door.too_often(request)) is not None:
                return wait
            return self._sign_in(request, door, key, to)

        return router

    def _sign_in(self, request: Request, door: Doorkeeper, key: str, to: str) -> Response:
        if not key:
            words = (
                "This page is for whoever runs it. To sign in, open the address that this command prints: tmm web --key"
            )
            return plain_page("Sign in", words, status=401)
        if len(key) > _LONGEST_KEY or not self._spend(key):
            words = "This address was used before, or is older than ten minutes. Have another printed: tmm web --key"
            return door.refuse(request, "key that does not count", words)
        return door.let_in(request, self._identity, to=to)
