"""Signing in and out at the page: who may have which name, what a session is, and what the log says of it."""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID, uuid4

from eventsourcing.persistence import IntegrityError

from domain.audit.event_log import EventLog
from domain.audit.operations import NameFreed, NameTaken, SignedIn, SignedOut, Way
from domain.audit.refusals import ActionRefused
from domain.errors import NameNotToBeHad, NotFound, Remedy
from domain.people.roles import Role
from domain.people.sessions import Identity, Session, Sessions
from domain.people.strangers import Strangers
from domain.people.users import INSTALLER, PREFECT, Entitlement, Origin, User
from domain.printable import printable
from domain.use_cases.act import Act

STRANGER = User(name="stranger", entitlement=Entitlement.noncommercial("nobody is signed in"), origin=Origin.WEB)
"""Who tried what is recorded of attempts at the page that nobody signed in stands behind."""

RESERVED = frozenset({PREFECT, INSTALLER.name, STRANGER.name, "root"})
"""Names that mean somebody else here: nobody signs in with them from elsewhere."""

_NAME_AT_MOST = 80
_KEY_BYTES = 32
_NOTED_EVERY = timedelta(minutes=5)


class EndSessions(Act[int]):
    """End every session of somebody at the page; how many there were. One's own, or an operator's to do."""

    name: str


class FreeName(Act[None]):
    """Let the next one who signs in with this name have it. Raises `NotFound` for a name that nobody has."""

    name: str


class SigningIn:
    """Begins and ends sessions, and knows whose they are.

    `user_of` makes the acting user of a name with these roles, with the edition of this moment; `roles_of` says which
    roles somebody has. `reserved` are further names that nobody has who comes from elsewhere.
    """

    def __init__(
        self,
        log: EventLog,
        sessions: Sessions,
        *,
        user_of: Callable[[str, frozenset[Role]], User],
        roles_of: Callable[[Identity], frozenset[Role]],
        reserved: Collection[str] = (),
    ) -> None:
        self._log = log
        self._sessions = sessions
        self._user_of = user_of
        self._roles_of = roles_of
        self._reserved = {name.casefold() for name in (*RESERVED, *reserved)}
        self._strangers, self._one_at_a_time = Strangers(), threading.Lock()

    def sign_in(self, identity: Identity, *, request_id: UUID) -> str:
        """Begin a session; the key that its browser is given. Raises `NameNotToBeHad`."""
        if identity.way is not Way.LOCAL_KEY:
            self._must_be_a_name(identity.name)
        user = self.user(identity)
        if identity.issuer:
            self._must_have_its_name(identity, by=user, request_id=request_id)
        facts = {"way": identity.way, "issuer": identity.issuer, "subject": identity.subject}
        self._log.append(SignedIn.happened(**facts, by=user, command_id=request_id))
        key = secrets.token_urlsafe(_KEY_BYTES)
        now = self._now()
        self._sessions.begin(_hash(key), Session(identity=identity, began=now, used=now))
        return key

    def session(self, key: str) -> Session | None:
        """The session of this key; None where there is none, or where it is over."""
        found = self._sessions.find(_hash(key))
        if found is None or not found.holds(now := self._now()):
            return None
        if now - found.used > _NOTED_EVERY:
            self._sessions.use(_hash(key), now)
        return found

    def sign_out(self, key: str, *, request_id: UUID) -> None:
        """End the session of this key, if there is one."""
        found = self.session(key)
        if self._sessions.end(_hash(key)) and found is not None:
            by = self.user(found.identity)
            self._log.append(SignedOut.happened(person=by.name, sessions=1, by=by, command_id=request_id))

    def user(self, identity: Identity) -> User:
        """Who is signed in, as the acting user of a command, with the edition and roles of this moment."""
        return self._user_of(identity.name, self._roles_of(identity))

    def roles(self, identity: Identity) -> frozenset[Role]:
        """The roles that somebody has at this moment."""
        return self._roles_of(identity)

    # What operators do.

    def end_sessions_of(self, name: str, *, by: User) -> int:
        """End every session of somebody; how many there were. Raises `NotOfTheRole`."""
        if name != by.name:
            by.must_be(Role.OPERATOR, to=f"end the sessions of {name}")
        if ended := self._sessions.end_all_of(name):
            self._log.append(SignedOut.happened(person=name, sessions=ended, by=by, command_id=uuid4()))
        return ended

    def free_name(self, name: str, *, by: User) -> None:
        """Let the next one who signs in with this name have it; whoever had it is signed out.

        Raises `NotOfTheRole`, and `NotFound` for a name that nobody has.
        """
        by.must_be(Role.OPERATOR, to=f"free the name {name}")
        history = self._log.history(NameTaken.stream_of(name))
        if not history or not isinstance(taken := history[-1], NameTaken):
            raise NotFound(f"Nobody has the name {printable(name, at_most=_NAME_AT_MOST)} from a provider.")
        self.end_sessions_of(taken.name, by=by)
        freed = NameFreed.happened(
            name=taken.name, issuer=taken.issuer, subject=taken.subject, by=by, command_id=uuid4()
        )
        self._log.append(freed.model_copy(update=_next_in(taken)))

    def end_sessions(self, act: EndSessions, by: User, _: UUID | None = None) -> int:
        """End every session of somebody."""
        return self.end_sessions_of(act.name, by=by)

    def free(self, act: FreeName, by: User, _: UUID | None = None) -> None:
        """Let the next one have this name."""
        self.free_name(act.name, by=by)

    # What strangers do.

    def turned_away(
        self, kind: str, *, source: str, because: str, request_id: UUID, tried: Mapping[str, str] | None = None
    ) -> None:
        """Record, within bounds, that somebody who is not signed in was refused something."""
        with self._one_at_a_time:
            untold = self._strangers.came(kind, source, now=time.monotonic())
        if untold is None:
            return
        more = {"not_told_before": untold} if untold else {}
        self._log.append(
            ActionRefused.happened(
                action="visit" if kind.startswith("forged") else "sign-in",
                subject="page",
                reason=because,
                tried={"kind": kind, "from": source, **(tried or {}), **more},
                by=STRANGER,
                command_id=request_id,
            )
        )

    def _must_be_a_name(self, name: str) -> None:
        shown = printable(name, at_most=_NAME_AT_MOST)
        if not name or shown != name or name != name.strip():
            raise NameNotToBeHad(
                f"Nobody can sign in with the name {shown!r}: a name has 1 to {_NAME_AT_MOST} characters, all of them "
                "printable, and no blanks around it."
            )
        if name.casefold() in self._reserved:
            raise NameNotToBeHad(
                f"Nobody can sign in with the name {name}: it means somebody else here. Have another name at your "
                "identity provider."
            )

    def _must_have_its_name(self, identity: Identity, *, by: User, request_id: UUID) -> None:
        """Take the name for this subject where nobody has it. Raises `NameNotToBeHad` for another subject's."""
        stream = NameTaken.stream_of(identity.name)
        while True:
            history = self._log.history(stream)
            newest = history[-1] if history else None
            if isinstance(newest, NameTaken):
                if (newest.issuer, newest.subject) == (identity.issuer, identity.subject):
                    return
                raise NameNotToBeHad(
                    f"The name {identity.name} belongs to somebody else, who signed in with it first on "
                    f"{newest.timestamp:%Y-%m-%d}. If it is yours now, ask an operator to free it."
                ).but(Remedy("An operator frees it", "FreeName", {"name": identity.name}))
            taken = NameTaken.happened(
                name=identity.name,
                issuer=identity.issuer,
                subject=identity.subject,
                by=by,
                command_id=request_id,
            )
            try:
                self._log.save(taken.model_copy(update={"originator_id": stream, **_next_in(newest)}))
            except IntegrityError:
                continue  # somebody else came with it at the same moment: who has it now is asked again
            self._log.catch_up_after_append()
            return

    def _now(self) -> datetime:
        return self._log.time().now


def _next_in(newest: object) -> dict[str, object]:
    """What puts an event behind the newest of its stream."""
    if newest is None:
        return {}
    event = cast(NameTaken | NameFreed, newest)
    return {"originator_id": event.originator_id, "originator_version": event.originator_version + 1}


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
