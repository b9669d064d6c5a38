"""Signing in and out, whose name it is, and what the log says of it, on both databases."""

import hashlib
import threading
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest

from adapters.store.tables import kept_sessions
from domain.audit.operations import Way
from domain.audit.read_models import AuditQuery
from domain.errors import NameNotToBeHad, NotFound, NotOfTheRole
from domain.people import sessions as of_sessions
from domain.people.roles import EVERY_ROLE, Role
from domain.people.sessions import Identity, Session
from domain.people.users import Entitlement, Origin, User
from domain.use_cases.signing_in import SigningIn
from infra.settings import Settings
from tests.support.people import TRAINERS
from tests.support.services import Services

ISSUER = "https://id.example"
OLGA = User(
    name="olga",
    entitlement=Entitlement.noncommercial("no licence is installed"),
    origin=Origin.COMMAND_LINE,
    roles=EVERY_ROLE,
)


def user_of(name: str, roles: frozenset[Role]) -> User:
    entitlement = Entitlement.noncommercial("no licence is installed")
    return User(name=name, entitlement=entitlement, origin=Origin.WEB, roles=roles)


def known(name: str, subject: str = "17", *, issuer: str = ISSUER) -> Identity:
    return Identity(name=name, way=Way.OPENID, issuer=issuer, subject=subject)


class Page:
    """Signing in on one log."""

    def __init__(self, services: Services, settings: Settings) -> None:
        self.services = services
        self.kept = kept_sessions(settings)
        self.signing_in = SigningIn(
            services.log,
            self.kept,
            user_of=user_of,
            roles_of=lambda identity: frozenset({Role.OPERATOR} if identity.name == "olga" else ()),
            reserved=["tmm-service"],
        )

    def sign_in(self, identity: Identity) -> str:
        return self.signing_in.sign_in(identity, request_id=uuid4())

    def sentences(self) -> list[str]:
        return [entry.sentence for entry in self.services.auditing.entries(AuditQuery(limit=1000))]


@pytest.fixture
def page(migrated: Settings) -> Iterator[Page]:
    with Services(migrated, TRAINERS) as services:
        made = Page(services, migrated)
        yield made
        made.kept.close()


def test_a_session_is_whose_it_is_until_they_sign_out_and_the_log_tells_both(page: Page) -> None:
    request_id = uuid4()
    key = page.signing_in.sign_in(Identity(name="root", way=Way.LOCAL_KEY), request_id=request_id)
    session = page.signing_in.session(key)
    assert session is not None
    assert page.signing_in.user(session.identity).name == "root"
    page.signing_in.sign_out(key, request_id=uuid4())
    assert page.signing_in.session(key) is None
    page.signing_in.sign_out(key, request_id=uuid4())
    assert page.sentences() == [
        "root signed in by the key of this machine at the page",
        "root signed out at the page",
    ]
    assert page.services.auditing.entries()[0].command_id == request_id


def test_the_database_does_not_know_the_key_of_a_session(page: Page) -> None:
    key = page.sign_in(known("alice"))
    assert page.kept.find(key) is None
    assert page.signing_in.session("") is None
    assert page.signing_in.session(key[:-1]) is None


@pytest.mark.parametrize("after", [of_sessions.IDLE, of_sessions.LONGEST])
def test_a_session_is_over_when_nobody_used_it_or_when_it_is_old(page: Page, after: timedelta) -> None:
    key = page.sign_in(known("alice"))
    kept = page.signing_in.session(key)
    assert kept is not None
    hashed = hashlib.sha256(key.encode()).hexdigest()
    used = kept.used if after is of_sessions.LONGEST else kept.used - after - timedelta(seconds=1)
    began = kept.began - after - timedelta(seconds=1)
    page.kept.end(hashed)
    page.kept.begin(hashed, Session(identity=kept.identity, began=began, used=used))
    assert page.signing_in.session(key) is None


def test_sessions_outlive_a_restart(page: Page, migrated: Settings) -> None:
    key = page.sign_in(known("alice"))
    with Services(migrated, TRAINERS) as services:
        again = Page(services, migrated)
        found = again.signing_in.session(key)
        assert found is not None
        assert found.identity == known("alice")
        again.kept.close()


def test_a_name_is_the_subjects_who_came_with_it_first_until_an_operator_decides(page: Page) -> None:
    key = page.sign_in(known("alice", "17"))
    page.sign_in(known("alice", "17"))
    for another in (known("alice", "18"), known("Alice", "18"), known("alice", "17", issuer="https://other.example")):
        with pytest.raises(NameNotToBeHad, match=f"The name {another.name} belongs to somebody else"):
            page.sign_in(another)
    with pytest.raises(NotOfTheRole, match="bob may not free the name alice: this is for operators"):
        page.signing_in.free_name("alice", by=user_of("bob", frozenset()))
    page.signing_in.free_name("alice", by=OLGA)
    assert page.signing_in.session(key) is None
    page.sign_in(known("alice", "18"))
    with pytest.raises(NameNotToBeHad):
        page.sign_in(known("alice", "17"))
    assert [sentence for sentence in page.sentences() if "name" in sentence] == [
        f"alice took the name alice, as {ISSUER} knows them at the page",
        "olga freed the name alice from the command line",
        f"alice took the name alice, as {ISSUER} knows them at the page",
    ]
    with pytest.raises(NotFound, match="Nobody has the name carol"):
        page.signing_in.free_name("carol", by=OLGA)


def test_of_two_who_come_with_a_name_at_the_same_moment_one_has_it(page: Page) -> None:
    outcomes: list[str] = []
    together = threading.Barrier(4)

    def come(subject: str) -> None:
        together.wait()
        try:
            page.sign_in(known("alice", subject))
            outcomes.append(subject)
        except NameNotToBeHad:
            outcomes.append("refused")

    coming = [threading.Thread(target=come, args=[str(number)]) for number in range(4)]
    for one in coming:
        one.start()
    for one in coming:
        one.join()
    assert outcomes.count("refused") == 3


@pytest.mark.parametrize(
    "name",
    ["prefect", "Prefect", "installer", "root", "stranger", "tmm-service", "", " alice", "a\nb", "a\x1b[2J", "a" * 81],
)
@pytest.mark.parametrize("way", [Way.OPENID, Way.PROXY])
def test_reserved_and_impossible_names_are_refused_to_whoever_comes_from_elsewhere(
    page: Page, name: str, way: Way
) -> None:
    with pytest.raises(NameNotToBeHad, match="Nobody can sign in with the name"):
        page.sign_in(Identity(name=name, way=way, issuer=ISSUER if way is Way.OPENID else "", subject="17"))
    assert page.sentences() == []


def test_an_operator_ends_the_sessions_of_others_and_everybody_their_own(page: Page) -> None:
    keys = [page.sign_in(known("alice")) for _ in range(2)]
    with pytest.raises(NotOfTheRole, match="bob may not end the sessions of alice"):
        page.signing_in.end_sessions_of("alice", by=user_of("bob", frozenset()))
    assert page.signing_in.end_sessions_of("alice", by=OLGA) == 2
    assert page.signing_in.end_sessions_of("alice", by=OLGA) == 0
    assert [page.signing_in.session(key) for key in keys] == [None, None]
    assert page.sentences()[-1] == "olga ended 2 sessions of alice from the command line"
    key = page.sign_in(known("alice"))
    page.signing_in.end_sessions_of("alice", by=user_of("alice", frozenset()))
    assert page.signing_in.session(key) is None


def test_a_strangers_attempts_are_few_entries_that_tell_how_many_there_were(page: Page) -> None:
    for _ in range(100):
        page.signing_in.turned_away("used key", source="10.0.0.1", because="It was used.", request_id=uuid4())
    page.signing_in.turned_away("forged host", source="10.0.0.1", because="Not known.", request_id=uuid4())
    entries = page.services.auditing.entries()
    assert [(entry.actor, entry.action, entry.outcome, entry.reason) for entry in entries] == [
        ("stranger", "sign-in", "refused", "It was used."),
        ("stranger", "visit", "refused", "Not known."),
    ]
    assert page.sentences() == ["stranger was refused to sign in at the page", "stranger was turned away at the page"]
