"""The page's app over a real installation on SQLite, and the people who look at it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from adapters.web.pages import ROUTERS
from adapters.web.person import Person, signed_in
from domain.people.roles import EVERY_ROLE
from domain.people.users import Origin, User
from infra.service import Service
from infra.settings import Settings
from tests.support.people import ALICE, BOB


@dataclass
class Visitor:
    """Somebody who is signed in, without a sign-in."""

    is_user: User
    csrf_token: str = "token"
    roles: frozenset[str] = field(default_factory=frozenset)

    @property
    def name(self) -> str:
        return self.is_user.name

    def user(self) -> User:
        return self.is_user.model_copy(update={"origin": Origin.WEB, "roles": EVERY_ROLE})


def app_of(installation: Service, visitor: Person) -> FastAPI:
    """The pages for this visitor alone."""
    app = FastAPI()
    app.state.do = installation.do
    for router in ROUTERS:
        app.include_router(router)
    app.dependency_overrides[signed_in] = lambda: visitor
    return app


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Service]:
    """An installation on SQLite with both backends, and no Prefect."""
    with Service(Settings(home=tmp_path / "home", backends="cuda,mlx")) as installation:
        installation.migrate()
        yield installation


@pytest.fixture
def alice(here: Service) -> Iterator[TestClient]:
    """The pages as a commercial user sees them."""
    with TestClient(app_of(here, Visitor(ALICE))) as client:
        yield client


@pytest.fixture
def bob(here: Service) -> Iterator[TestClient]:
    """The pages as a noncommercial user sees them."""
    with TestClient(app_of(here, Visitor(BOB))) as client:
        yield client
