"""A program that acts for a person: its token counts once, and is spent with the event that it led to."""

from datetime import datetime
from typing import cast
from uuid import UUID

from domain.audit.event_log import EventLog
from domain.audit.operations import ActingTokenUsed
from domain.audit.projections import sentence, subject_of
from domain.audit.refusals import ActionRefused
from domain.errors import Refused, TokenDoesNotHold
from domain.events import DomainEvent
from domain.people.users import User
from domain.values import Value


class ActingToken(Value):
    """A token that holds for one command: for which person, until when (UTC), and which user's flow run brought it.

    What a token does not let do, whoever brought it has tried, and not the person.
    """

    token_id: str
    key_id: str
    action: str
    expires: datetime
    person: User
    brought_by: User

    @property
    def stream(self) -> UUID:
        return ActingTokenUsed.stream_of(self.key_id, self.token_id)

    def used(self, *, command_id: UUID, led_to: UUID) -> ActingTokenUsed:
        """That it is spent now. Stored together with the event that it led to, which stands in the stream `led_to`."""
        return ActingTokenUsed.happened(
            token_id=self.token_id,
            key_id=self.key_id,
            action=self.action,
            expires=self.expires,
            led_to=led_to,
            by=self.person,
            command_id=command_id,
        ).model_copy(update={"originator_id": self.stream})


class ActingForPersons:
    """What became of acting tokens."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def answered(self, token: ActingToken, *, action: str, name: str) -> str | None:
        """What the token led to before in this same flow run, in words; None for one that nobody used.

        Raises the same refusal again if that is what it led to, and `TokenDoesNotHold` in any other flow run, or if it
        was used for something else.
        """
        used = self.use_of(token)
        if used is None:
            return None
        outcome = self._outcome_of(used)
        mine = used.by.flow_run_id == token.brought_by.flow_run_id
        if not mine or outcome is None or (used.action, subject_of(outcome)) != (action, name):
            raise used_before(used)
        if isinstance(outcome, ActionRefused):
            raise Refused(outcome.reason)
        return f"It was done before, by this same flow run: {sentence(outcome)}."

    def must_be_unused(self, token: ActingToken | None) -> None:
        """Raises `TokenDoesNotHold` for a token that was used before; no token is none that was."""
        if token is not None and (used := self.use_of(token)) is not None:
            raise used_before(used)

    def use_of(self, token: ActingToken) -> ActingTokenUsed | None:
        """How a token was used; None for one that nobody used."""
        history = self._log.history(token.stream)
        return cast(ActingTokenUsed, history[0]) if history else None

    def _outcome_of(self, used: ActingTokenUsed) -> DomainEvent | None:
        """None for a token that was used before what it led to was remembered."""
        history = self._log.history(used.led_to) if used.led_to is not None else []
        return next((event for event in history if event.command_id == used.command_id), None)


def used_before(used: ActingTokenUsed) -> TokenDoesNotHold:
    return TokenDoesNotHold(f"was used before, by the flow run {used.by.flow_run_id}")
