"""How commands are carried out: decided on the present state, appended, projected, and their refusals recorded."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, cast
from uuid import UUID, uuid4

from eventsourcing.persistence import IntegrityError

from domain.audit.event_log import EventLog, folded
from domain.audit.refusals import ActionRefused
from domain.catalogue.method_spec import MethodSpec
from domain.catalogue.training_method import TrainingMethod
from domain.errors import (
    DatabaseUnavailable,
    MethodNotFound,
    Refused,
    RunNotFound,
    TokenDoesNotHold,
)
from domain.people.acting import ActingForPersons, ActingToken
from domain.people.users import User
from domain.runs.training_run import TrainingRun

A = TypeVar("A", TrainingMethod, TrainingRun)

ATTEMPTS = 50


class Commands:
    """Carries commands out on the log.

    Repeating a command with the same id after a lost acknowledgement does nothing twice. The `token` of a program that
    acts for a person is spent with what comes of the command, done or refused, and with nothing else.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._acting = ActingForPersons(log)

    def method(self, internal_name: str) -> TrainingMethod | None:
        """A method as its events make it, selectable or not; None where there never was one."""
        if not MethodSpec.is_a_name(internal_name):
            return None
        return cast(TrainingMethod | None, self._log.aggregate(TrainingMethod.create_id(internal_name)))

    def existing_method(self, internal_name: str) -> TrainingMethod:
        """Like `method`. Raises `MethodNotFound`."""
        return existing(self.method(internal_name), internal_name)

    def run(self, run_id: UUID) -> TrainingRun | None:
        """A run as its events make it; None where there is none."""
        return cast(TrainingRun | None, self._log.aggregate(run_id))

    def existing_run(self, run_id: UUID) -> TrainingRun:
        """Like `run`. Raises `RunNotFound`."""
        if (run := self.run(run_id)) is None:
            raise RunNotFound(run_id)
        return run

    def carry_out(
        self,
        aggregate_id: UUID,
        command_id: UUID,
        decide: Callable[[Any], A],
        token: ActingToken | None = None,
    ) -> A:
        """Decide on the present state and append; decide again when somebody else came first.

        An `IntegrityError` may also be the echo of our own append whose acknowledgement was lost: then the stream
        holds an event with our command id, and the command is done. Or another flow run spent the token.
        """
        for _ in range(ATTEMPTS):
            history = self._log.history(aggregate_id)
            if any(event.command_id == command_id for event in history):
                self._log.catch_up_after_append()
                return cast(A, folded(history))
            self._acting.must_be_unused(token)
            aggregate = decide(folded(history))
            if not aggregate.pending_events:
                return aggregate
            spent = token.used(command_id=command_id, led_to=aggregate_id) if token else None
            try:
                self._log.save(spent, aggregate)
            except IntegrityError:
                continue
            self._log.catch_up_after_append()
            return aggregate
        raise busy(aggregate_id)

    def did(self, aggregate_id: UUID, command_id: UUID) -> bool:
        """Whether a stream holds an event of this command."""
        return any(event.command_id == command_id for event in self._log.history(aggregate_id))

    def led_to(self, token: ActingToken, aggregate_id: UUID) -> bool:
        """Whether a token was spent with what happened to this method or run."""
        used = self._acting.use_of(token)
        return used is not None and used.led_to == aggregate_id

    def record_refused(
        self, refusal: Refused, *, action: str, name: object, tried: Mapping[str, Any], by: User
    ) -> None:
        """Record an attempt that was refused before it came to its command."""
        with suppress(Refused), self.refusals_recorded(action, name, by, uuid4(), tried):
            raise refusal

    @contextmanager
    def refusals_recorded(
        self,
        action: str,
        name: object,
        by: User,
        command_id: UUID,
        tried: Mapping[str, Any],
        token: ActingToken | None = None,
    ) -> Iterator[None]:
        """Record what is refused inside, and with it that its token is spent."""
        try:
            yield
        except Refused as refusal:
            holds = token is not None and not isinstance(refusal, TokenDoesNotHold)
            refused = ActionRefused.happened(
                action=action,
                subject=name,
                reason=str(refusal),
                tried=tried,
                by=by if holds or token is None else token.brought_by,
                command_id=command_id,
            )
            if token is None or not holds:
                self._log.append(refused)
                raise
            try:
                self._log.save(token.used(command_id=command_id, led_to=refused.originator_id), refused)
            except IntegrityError:
                used = self._acting.use_of(token)
                if used is None or used.led_to != refused.originator_id:  # else the acknowledgement was lost
                    with self.refusals_recorded(action, name, by, uuid4(), tried, token):
                        self._acting.must_be_unused(token)
                    raise
            self._log.catch_up_after_append()
            raise


def busy(aggregate_id: UUID) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"Others kept changing {aggregate_id} at the same moment, {ATTEMPTS} times in a row. "
        "Nothing was changed; try again."
    )


def existing(method: TrainingMethod | None, internal_name: str) -> TrainingMethod:
    """This method. Raises `MethodNotFound` if it is none."""
    if method is None:
        raise MethodNotFound(internal_name)
    return method
