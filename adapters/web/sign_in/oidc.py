"""For a team: OpenID Connect, the code flow with PKCE, a state that belongs to one browser, and a nonce."""

import secrets
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from adapters.web.doorkeeper import AtTheDoor, Doorkeeper, path_here
from adapters.web.plain import plain_page
from adapters.web.sign_in.pending import COUNTS_FOR_S, Pending, PendingSignIns
from adapters.web.sign_in.provider import Provider, ProviderAway, TokenNotBelieved
from domain.audit.operations import Way
from domain.people.sessions import Identity, Session
from domain.printable import printable

CALLBACK = "/sign-in/callback"

_MOST_GROUPS = 200


class OpenIDConnect:
    """Signs in whom the provider names in the claim `user_claim`, of the groups in `groups_claim`."""

    def __init__(self, provider: Provider, *, user_claim: str, groups_claim: str) -> None:
        self._provider = provider
        self._user_claim = user_claim
        self._groups_claim = groups_claim
        self._pending = PendingSignIns()

    def still_holds(self, request: Request, session: Session) -> bool:
        """For sessions that this provider stands behind."""
        return session.identity.way is Way.OPENID and session.identity.issuer == self._provider.issuer

    def routes(self) -> APIRouter:
        """`/sign-in`, which leads to the provider, and where the provider leads back to."""
        router = APIRouter()

        @router.get("/sign-in")
        def sign_in(request: Request, door: AtTheDoor, to: str = "/") -> Response:
            return door.too_often(request) or self._lead_to_the_provider(request, door, to)

        @router.get(CALLBACK)
        def come_back(request: Request, door: AtTheDoor) -> Response:
            return door.too_often(request) or self._come_back(request, door)

        return router

    def _lead_to_the_provider(self, request: Request, door: Doorkeeper, to: str) -> Response:
        browser = request.cookies.get(_cookie(door), "") or secrets.token_urlsafe(32)
        state, pending = self._pending.begin(browser=browser, to=path_here(to))
        try:
            address = self._provider.address(state=state, pending=pending, back_to=_back(door))
        except ProviderAway as away:
            return plain_page("Not now", str(away), status=503)
        answer = RedirectResponse(address, status_code=303)
        answer.set_cookie(
            _cookie(door),
            browser,
            max_age=COUNTS_FOR_S,
            path="/" if door.place.is_secure else "/sign-in",
            httponly=True,
            samesite="lax",
            secure=door.place.is_secure,
        )
        return answer

    def _come_back(self, request: Request, door: Doorkeeper) -> Response:
        given = request.query_params
        pending = self._pending.end(given.get("state", ""), browser=request.cookies.get(_cookie(door), ""))
        if pending is None:
            words = (
                "This is not the answer to a sign-in that was begun in this browser within ten minutes. Begin again."
            )
            return door.refuse(request, "answer that nobody waits for", words)
        if given.get("iss", self._provider.issuer) != self._provider.issuer:
            return door.refuse(
                request, "answer of another provider", "Another provider than ours answered. Begin again."
            )
        if (error := given.get("error")) is not None or not given.get("code"):
            said = printable(given.get("error_description") or error or "nothing", at_most=200)
            return door.refuse(request, "refused by the provider", f"The identity provider did not let you in: {said}.")
        return self._take(request, door, given["code"], pending)

    def _take(self, request: Request, door: Doorkeeper, code: str, pending: Pending) -> Response:
        try:
            claims = self._provider.claims(code, pending, wanted=self._user_claim, back_to=_back(door))
        except ProviderAway as away:
            return plain_page("Not now", str(away), status=503, way_on=("/sign-in", "Try again"))
        except TokenNotBelieved as fault:
            words = (
                f"What the identity provider says of you cannot be believed: {fault}. Begin again, or tell an operator."
            )
            return door.refuse(request, "token that is not believed", words)
        name = claims.get(self._user_claim)
        if not isinstance(name, str):
            words = f"The identity provider does not say your name: its claim {self._user_claim} (TMM_OIDC_USER_CLAIM)."
            return door.refuse(request, "no name from the provider", words)
        identity = Identity(
            name=name,
            way=Way.OPENID,
            issuer=self._provider.issuer,
            subject=str(claims["sub"]),
            groups=_texts(claims.get(self._groups_claim)),
        )
        return door.let_in(request, identity, to=pending.to)


def _back(door: Doorkeeper) -> str:
    return f"{door.place.url}{CALLBACK}"


def _cookie(door: Doorkeeper) -> str:
    return f"{door.place.cookie_name}-begun"


def _texts(groups: Any) -> tuple[str, ...]:
    listed = groups if isinstance(groups, list) else [groups]
    return tuple(group for group in listed[:_MOST_GROUPS] if isinstance(group, str))
