"""Who is signed in."""

from typing import Protocol

from fastapi import HTTPException, Request

from domain.people.users import User


class Person(Protocol):
    """A signed-in person, as every page needs them."""

    name: str
    csrf_token: str
    roles: frozenset[str]

    def user(self) -> User:
        """The person as the acting user of a command, with the edition that they have at this moment."""
        ...


def signed_in(_request: Request) -> Person:
    """The person whose session this request belongs to."""
    raise HTTPException(401)
