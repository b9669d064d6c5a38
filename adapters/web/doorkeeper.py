"""Who a request is from: sessions, their cookies, the token that every act carries, and who is turned away."""

import hmac
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Protocol, cast
from uuid import UUID

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from adapters.web.person import NotSignedIn, Person
from adapters.web.place import Came, Place
from adapters.web.plain import plain_page
from adapters.web.protection import SAFE_METHODS
from adapters.web.sign_in.attempts import Attempts
from domain.errors import NameNotToBeHad, Refused
from domain.people.roles import Role
from domain.people.sessions import Identity, Session
from domain.people.users import User
from domain.printable import printable
from domain.use_cases.signing_in import SigningIn

CSRF_FIELD = "csrf_token"
CSRF_HEADER = "X-CSRF-Token"

_PATH = re.compile(r"/(?![/\\])[^\x00-\x20\x7f\\]*")
_LONGEST_PATH = 2_000
_OPEN = "/static/"

log = logging.getLogger("tmm.page")


class Asking(Protocol):
    """The way in which people here prove who they are."""

    def still_holds(self, request: Request, session: Session) -> bool:
        """Whether a session that was begun in this way counts for this request."""
        ...


@dataclass(frozen=True)
class SignedInPerson:
    """A person with a session."""

    identity: Identity
    csrf_token: str
    _signing_in: SigningIn

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def roles(self) -> frozenset[Role]:
        return self._signing_in.roles(self.identity)

    def user(self) -> User:
        return self._signing_in.user(self.identity)


class Doorkeeper:
    """Lets in who has a session, begins and ends sessions, and turns others away."""

    def __init__(self, signing_in: SigningIn, place: Place) -> None:
        self._signing_in = signing_in
        self.place = place
        self._attempts = Attempts()
        self.asking: Asking | None = None

    def person(self, request: Request) -> Person:
        """The signed-in person. Raises `NotSignedIn`."""
        key = self._key(request)
        session = self._signing_in.session(key) if key else None
        if session is None or self.asking is None or not self.asking.still_holds(request, session):
            raise NotSignedIn
        return SignedInPerson(session.identity, _csrf_token(key), self._signing_in)

    def must_carry_its_token(self, request: Request, token: object) -> None:
        """Raise `Refused`, and remember it, for an act that no form of ours has sent."""
        person = self.person(request)
        if not isinstance(token, str) or not hmac.compare_digest(token.encode(), person.csrf_token.encode()):
            words = "This was not sent by a page of your session here. Open the page again, and send it from there."
            self.turned_away("forged act", came_of(request), words, request_id_of(request), person=person.name)
            raise Refused(words)

    # Signing in and out.

    def let_in(self, request: Request, identity: Identity, *, to: str) -> Response:
        """Begin a session, and go on; a page that says why where that is refused."""
        try:
            key = self._signing_in.sign_in(identity, request_id=request_id_of(request))
        except NameNotToBeHad as refusal:
            return self.refuse(
                request, "name not to be had", str(refusal), name=identity.name, subject=identity.subject
            )
        came = came_of(request)
        if before := self._key(request):
            self._signing_in.sign_out(before, request_id=request_id_of(request))
        self._attempts.succeeded(came.kept_apart_by)
        log.info("%s signed in by %s from %s [%s]", identity.name, identity.way, came.source, request_id_of(request))
        answer = RedirectResponse(path_here(to), status_code=303)
        answer.set_cookie(self.place.cookie_name, key, httponly=True, samesite="lax", secure=self.place.is_secure)
        return answer

    def let_out(self, request: Request) -> Response:
        """End the session."""
        self._signing_in.sign_out(self._key(request), request_id=request_id_of(request))
        answer = RedirectResponse("/signed-out", status_code=303)
        answer.delete_cookie(self.place.cookie_name, httponly=True, samesite="lax", secure=self.place.is_secure)
        return answer

    def too_often(self, request: Request) -> Response | None:
        """A page that asks to wait, for a source whose attempts to sign in failed too often; else None."""
        wait_s = self._attempts.wait_s(came_of(request).kept_apart_by)
        if not wait_s:
            return None
        words = f"Too many attempts to sign in came from your address. Try again in {wait_s} seconds."
        return plain_page("Not now", words, status=429, headers={"Retry-After": str(wait_s)})

    def refuse(self, request: Request, kind: str, because: str, *, status: int = 403, **tried: str) -> Response:
        """Remember that an attempt to sign in failed; the page that says why."""
        came = came_of(request)
        self._attempts.failed(came.kept_apart_by)
        self.turned_away(kind, came, because, request_id_of(request), **tried)
        return plain_page("Not signed in", because, status=status, way_on=("/sign-in", "Sign in"))

    def turned_away(self, kind: str, came: Came, because: str, request_id: UUID, **tried: str) -> None:
        """Write an attempt down in the service's log file and, within bounds, in the audit log."""
        log.warning("%s from %s: %s %s [%s]", kind, came.source, because, printable(str(tried or "")), request_id)
        self._signing_in.turned_away(
            kind, source=came.kept_apart_by, because=because, request_id=request_id, tried=tried
        )

    def _key(self, request: Request) -> str:
        return request.cookies.get(self.place.cookie_name, "")


async def guarded(request: Request) -> AsyncIterator[None]:
    """What every route of the page stands behind: somebody is signed in, and an act carries the session's token."""
    doorkeeper = cast(Doorkeeper, request.app.state.doorkeeper)
    if request.method in SAFE_METHODS:
        if not request.url.path.startswith(_OPEN):
            await run_in_threadpool(doorkeeper.person, request)
        yield
        return
    await run_in_threadpool(doorkeeper.person, request)  # nothing of a stranger's is read
    token: object = request.headers.get(CSRF_HEADER)
    if token is None:
        token = (await request.form()).get(CSRF_FIELD)
    await run_in_threadpool(doorkeeper.must_carry_its_token, request, token)
    yield
    await request.close()


def request_id_of(request: Request) -> UUID:
    """The id of this request, which its answer carries and what is recorded of it has as its command's."""
    return cast(UUID, request.state.request_id)


def came_of(request: Request) -> Came:
    """How this request came."""
    return cast(Came, request.state.came)


def path_here(to: str) -> str:
    """Where to go on, if that is a path of this page; else its beginning."""
    return to if len(to) <= _LONGEST_PATH and _PATH.fullmatch(to) else "/"


def _csrf_token(key: str) -> str:
    return hmac.new(key.encode(), b"every act carries this", "sha256").hexdigest()


def the_doorkeeper(request: Request) -> Doorkeeper:
    return cast(Doorkeeper, request.app.state.doorkeeper)


AtTheDoor = Annotated[Doorkeeper, Depends(the_doorkeeper)]
