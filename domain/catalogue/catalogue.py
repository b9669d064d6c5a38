"""The catalogue: what there is to choose from, and adding, modifying and deleting it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from eventsourcing.persistence import IntegrityError

from domain.audit.commands import Commands, existing
from domain.audit.event_log import EventLog
from domain.audit.read_models import MethodVersion, SelectableMethod
from domain.bounded import shown
from domain.catalogue.completing import changed_fields, new_method
from domain.catalogue.method_spec import Backend, MethodSpec, MethodType
from domain.catalogue.trainer_declaration import Trainers, trainer_of
from domain.catalogue.training_method import TrainingMethod
from domain.errors import InvalidMethod, MethodAlreadyExists, MethodNotFound, Refused, TrainingMethodError
from domain.people.acting import ActingToken
from domain.people.users import User
from domain.ports import CheckedCode
from domain.runs.training_runs import TrainingRuns

Action = Literal["add", "modify", "delete"]
_Change = Literal["add", "modify"]

_GIVES_A_SPEC = (TrainingMethod.Preinstalled, TrainingMethod.Added, TrainingMethod.Modified, TrainingMethod.AddedAgain)


@dataclass(frozen=True)
class Permission:
    """Whether somebody may do something: the error that they would meet, or None."""

    error: TrainingMethodError | None


class Catalogue:
    """The catalogue of training methods.

    Commands take the acting user and, optionally, a `command_id`: repeating a command with the same id after a lost
    acknowledgement does nothing twice. Those that a program can give for a person take the `token` that lets it: it is
    spent with what comes of the command, done or refused, and with nothing else. Every command projects what it
    appended; every query first catches the views up, so they are never stale. Raises errors of `domain.errors` only.
    """

    def __init__(self, log: EventLog, *, trainers: Trainers, code: CheckedCode, runs: TrainingRuns) -> None:
        self._log = log
        self._trainers = trainers
        self._code = code
        self._runs = runs
        self._commands = Commands(log)

    # Queries.

    def selectable(
        self,
        *,
        backend: Backend | None = None,
        method_type: MethodType | None = None,
        as_of: datetime | None = None,
    ) -> list[SelectableMethod]:
        """What can be chosen for a training, or could be at a moment, by internal name."""
        self._log.catch_up()
        methods = (
            self._log.views.selectable_methods()
            if as_of is None
            else self._log.views.selectable_methods_at(self._log.views.position_at(as_of))
        )
        return [
            method
            for method in methods
            if (backend is None or backend in method.spec.backends)
            and (method_type is None or method.spec.method_type is method_type)
        ]

    def method(self, internal_name: str, *, to: str = "choose it") -> SelectableMethod:
        """One method that can be chosen. Raises `MethodNotFound`, or `MethodNotSelectable` if it was deleted.

        `to` completes «nobody can … any more».
        """
        self._log.catch_up()
        method = self._log.views.selectable_method(internal_name) if MethodSpec.is_a_name(internal_name) else None
        if method is None:
            self._commands.existing_method(internal_name).must_be_selectable(to=to)
            raise MethodNotFound(internal_name)
        return method

    def versions(self, internal_name: str) -> list[MethodVersion]:
        """What a method was, the oldest first: one for each change of it. Raises `MethodNotFound`."""
        history = self._log.history(TrainingMethod.create_id(internal_name))
        if not history:
            raise MethodNotFound(internal_name)
        return [
            MethodVersion(version=event.originator_version, spec=event.spec, at=event.timestamp, by=event.by.name)
            for event in history
            if isinstance(event, _GIVES_A_SPEC)
        ]

    def may(self, action: Action, internal_name: str, *, by: User) -> Permission:
        """Whether this user may add, modify or delete this method now. Nothing is changed or recorded."""
        method = self._commands.method(internal_name)
        try:
            if action == "add":
                by.must_be_commercial(to="add a training method")
                MethodSpec.must_be_a_name(internal_name)
                if method is not None and method.selectable:
                    raise MethodAlreadyExists(internal_name)
            elif action == "delete":
                existing(method, internal_name).delete(by=by, command_id=uuid4())
            else:
                method = existing(method, internal_name)
                changed = method.spec.model_copy(update={"description": f"{method.spec.description} "})
                method.modify(changed, by=by, command_id=uuid4())
        except TrainingMethodError as error:
            return Permission(error=error)
        return Permission(error=None)

    def completed(self, fields: Mapping[str, Any], *, start_from: object = "") -> MethodSpec:
        """The new method of these fields; what was left out is that of the method to start from, or the trainer's.

        Raises `InvalidMethod`, or `MethodNotFound` for the method to start from.
        """
        if not isinstance(start_from, str):
            raise InvalidMethod(f"from_method: must be the internal name of a method, not {shown(start_from)}.")
        return new_method(fields, self.method(start_from).spec if start_from else None, self._trainers)

    # Commands.

    def preinstall(self, specs: tuple[MethodSpec, ...]) -> list[str]:
        """Install the methods that were never here; names of those installed. One that was deleted stays deleted."""
        installed = []
        for spec in specs:
            if not self._log.is_there(TrainingMethod.create_id(spec.internal_name)):
                try:
                    self._log.save(TrainingMethod.preinstall(spec, command_id=uuid4()))
                    installed.append(spec.internal_name)
                except IntegrityError:
                    pass  # another process installed it at the same moment
        self._log.catch_up_after_append()
        return installed

    def add(
        self, spec: MethodSpec, *, by: User, command_id: UUID | None = None, token: ActingToken | None = None
    ) -> SelectableMethod:
        """Put a method into the catalogue. Commercial users only."""
        command_id = command_id or uuid4()

        def decide(method: TrainingMethod | None) -> TrainingMethod:
            if method is None:
                method = TrainingMethod.add(spec, by=by, command_id=command_id)
            else:
                method.add_again(spec, by=by, command_id=command_id)
            self._must_be_trainable(spec)
            return method

        with self._commands.refusals_recorded(
            "add", spec.internal_name, by, command_id, spec.model_dump(mode="json"), token
        ):
            self._commands.carry_out(TrainingMethod.create_id(spec.internal_name), command_id, decide, token)
        return self.method(spec.internal_name)

    def must_be_entitled_to_add(self, internal_name: str, *, by: User) -> None:
        """Refuse, and record, an add by whoever may add nothing, before anything is kept for it."""
        with self._commands.refusals_recorded("add", internal_name, by, uuid4(), {}):
            by.must_be_commercial(to="add a training method")

    def modify(
        self, internal_name: str, changes: Mapping[str, Any], *, by: User, command_id: UUID | None = None
    ) -> SelectableMethod:
        """Change fields of a method. Commercial users only, except what anyone may shape in custom01 and custom02."""
        command_id = command_id or uuid4()

        def decide(method: TrainingMethod | None) -> TrainingMethod:
            method = existing(method, internal_name)
            # Before any value is judged.
            method.must_let_change(changes, by=by)
            method.must_be_selectable(to="modify it")
            spec = method.spec.with_changes(changed_fields(changes, method.spec, self._trainers))
            method.modify(spec, by=by, command_id=command_id)
            self._must_be_trainable(spec)
            return method

        with self._commands.refusals_recorded("modify", internal_name, by, command_id, changes):
            self._commands.carry_out(TrainingMethod.create_id(internal_name), command_id, decide)
        return self.method(internal_name)

    def delete(
        self, internal_name: str, *, by: User, command_id: UUID | None = None, token: ActingToken | None = None
    ) -> list[UUID]:
        """Take a method out of the catalogue; ids of its waiting runs, which are cancelled. Commercial users only.

        A run that has started goes on.
        """
        command_id = command_id or uuid4()

        def decide(method: TrainingMethod | None) -> TrainingMethod:
            method = existing(method, internal_name)
            method.delete(by=by, command_id=command_id)
            return method

        with self._commands.refusals_recorded("delete", internal_name, by, command_id, {}, token):
            self._commands.carry_out(TrainingMethod.create_id(internal_name), command_id, decide, token)
        return self._runs.cancel_waiting(internal_name, by=by)

    def must_be_allowed(
        self, action: _Change, name: str, *, by: User, tried: Mapping[str, Any], token: ActingToken | None = None
    ) -> None:
        """Refuse, and record, what this user may not do whatever the values are that nobody has judged yet."""
        with self._commands.refusals_recorded(action, name, by, uuid4(), tried, token):
            if action == "add":
                by.must_be_commercial(to="add a training method")
            elif method := self._commands.method(name):
                method.must_let_change(tried, by=by)

    @contextmanager
    def rights_before_values(
        self, action: _Change, name: str, *, by: User, tried: Mapping[str, Any], token: ActingToken | None = None
    ) -> Iterator[None]:
        """Judge the values of a command inside: what is wrong with them is told to those only who may give it."""
        try:
            yield
        except Refused:
            raise
        except Exception:
            self.must_be_allowed(action, name, by=by, tried=tried, token=token)
            raise

    def _must_be_trainable(self, spec: MethodSpec) -> None:
        """Raise `InvalidMethod` unless the spec's trainer allows it, and its own code was checked."""
        trainer_of(spec, self._trainers).must_allow(spec)
        if spec.code is not None:
            history = self._log.history(TrainingMethod.create_id(spec.internal_name))
            # What the method trained with before was let in then; it may be put back.
            known = [event.spec.code for event in history if isinstance(event, _GIVES_A_SPEC)]
            if spec.code not in known:
                self._code.must_be_checked(spec.code)
