"""Who is signed in: what every page asks for before it does or shows anything."""

from typing import Protocol, cast

from fastapi import Request

from domain.people.roles import Role
from domain.people.users import User


class Person(Protocol):
    """A signed-in person, as every page needs them."""

    @property
    def name(self) -> str: ...

    @property
    def csrf_token(self) -> str:
        """What every form that acts carries as `csrf_token`, and every script as the header `X-CSRF-Token`."""
        ...

    @property
    def roles(self) -> frozenset[Role]: ...

    def user(self) -> User:
        """The person as the acting user of a command, with the edition that they have at this moment."""
        ...


class NotSignedIn(Exception):
    """Nobody is signed in here: a page leads to where one can be, everything else is refused."""


class Doorkeeper(Protocol):
    """Knows who a request is from."""

    def person(self, request: Request) -> Person:
        """Raises `NotSignedIn`, and `TrainingMethodError` where that cannot be told."""
        ...


def signed_in(request: Request) -> Person:
    """The person whose session this request belongs to. Raises `NotSignedIn`."""
    return cast(Doorkeeper, request.app.state.doorkeeper).person(request)
