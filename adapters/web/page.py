"""One request of a signed-in person: acts are done as them, and what comes of them is rendered for them."""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, unquote

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from starlette.datastructures import FormData, UploadFile

from adapters.web.person import Person, signed_in
from adapters.web.rendering import rendered
from domain.errors import BadResult, InvalidInput, NotFound, Refused, TrainingMethodError, Unreachable
from domain.use_cases.act import Act

R = TypeVar("R")

_SAID = "tmm_said"
_SAID_AT_MOST = 600
_SAID_FOR_S = 60

_STATUS: tuple[tuple[type[TrainingMethodError], int], ...] = (
    (Refused, 403),
    (NotFound, 404),
    (InvalidInput, 422),
    (Unreachable, 503),
    (BadResult, 422),
)


class Page:
    """What a page handler is given: the person, a way to do acts as them, and a way to show."""

    def __init__(self, request: Request, person: Person) -> None:
        self.request = request
        self.person = person
        request.state.page = self

    def do(self, act: Act[R]) -> R:
        """Do it as this person. Raises `TrainingMethodError`."""
        done: R = self.request.app.state.do(act, by=self.person.user())
        return done

    def show(self, template: str, *, status: int = 200, **shown: Any) -> HTMLResponse:
        """A template, with the person, what is to be shown, and what was said of the act that led here."""
        said = unquote(self.request.cookies.get(_SAID, ""))
        answer = HTMLResponse(self.render(template, said=said, **shown), status_code=status)
        if said:
            answer.delete_cookie(_SAID)
        return answer

    def render(self, template: str, **shown: Any) -> str:
        """A template as text."""
        return rendered(template, person=self.person, path=self.request.url.path, **shown)

    def go(self, path: str, *, said: str) -> RedirectResponse:
        """Go on to another page after an act, and say there what was done.

        The sentence is not in the address: whoever can make somebody follow a link could put any words there.
        """
        answer = RedirectResponse(path, status_code=303)
        kept = quote(said[:_SAID_AT_MOST])
        secure = self.request.url.scheme == "https"
        answer.set_cookie(_SAID, kept, max_age=_SAID_FOR_S, httponly=True, samesite="lax", secure=secure)
        return answer


def status_of(error: TrainingMethodError) -> int:
    """The HTTP status that tells programs of this error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def _page(request: Request, person: Annotated[Person, Depends(signed_in)]) -> Page:
    return Page(request, person)


async def _form(request: Request) -> AsyncIterator[FormData]:
    async with request.form() as form:
        yield form


Here = Annotated[Page, Depends(_page)]
"""The request's page, for the person who is signed in."""

Form = Annotated[FormData, Depends(_form)]
"""What was filled in."""


def text(form: FormData, name: str) -> str:
    """A field's text without blanks around it; empty where there is none."""
    value = form.get(name, "")
    return "" if isinstance(value, UploadFile) else value.strip()


def texts(form: FormData, name: str) -> list[str]:
    """The texts of a field that may be given several times."""
    return [value for value in form.getlist(name) if isinstance(value, str)]


class PageRoute(APIRoute):
    """A route whose errors of ours become a page that says them, with the ways out as links."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except TrainingMethodError as error:
                page = getattr(request.state, "page", None)
                if page is None:
                    raise
                shown: Response = page.show("error.html", status=status_of(error), error=error)
                return shown

        return handled
