"""The training method: its events, and the commercial rules."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self
from uuid import UUID, uuid5

from eventsourcing.domain import event

from domain.catalogue.method_spec import Change, MethodSpec
from domain.catalogue.preinstalled import PREINSTALLED
from domain.errors import InvalidMethod, MethodAlreadyExists, MethodNotFound, MethodNotSelectable, Remedy
from domain.events import Aggregate, Created
from domain.people.users import INSTALLER, User
from domain.secrets import holds_secret

_NAMES = UUID("6f0a4a1e-52f3-5b7f-9d7e-0f2e6f1c8a11")

TEMPLATES = frozenset({"custom01", "custom02"})
SHAPEABLE_IN_TEMPLATES = frozenset(
    {"display_name", "description", "configuration_options", "default_base_model", "default_dataset", "code"}
)
FOLLOWS_FROM_CODE = frozenset({"trainer", "backends"})
"""Where a template gets code of its own, or loses it again, these fields are that code's or its first ones again."""


class TrainingMethod(Aggregate):
    """A way of training that people can choose when they start a run.

    Its identity is the UUID5 of its internal name, so that a name's whole history is one stream and two concurrent
    adds of one name meet at version 1 of it, where exactly one wins.
    """

    TOPIC: ClassVar[str] = "training-method"

    class Preinstalled(Created):
        """A method came with the service."""

        TOPIC: ClassVar[str] = "training-method.preinstalled"
        spec: MethodSpec

    class Added(Created):
        """A commercial user put a method into the catalogue."""

        TOPIC: ClassVar[str] = "training-method.added"
        spec: MethodSpec

    class Modified(Aggregate.Event):
        """A method is another one from now on: its fields after the change, and each change."""

        TOPIC: ClassVar[str] = "training-method.modified"
        spec: MethodSpec
        changes: tuple[Change, ...]

    class Deleted(Aggregate.Event):
        """A commercial user took a method out of the catalogue."""

        TOPIC: ClassVar[str] = "training-method.deleted"
        internal_name: str
        display_name: str

    class AddedAgain(Aggregate.Event):
        """A commercial user put a method back that had been deleted, as it is now."""

        TOPIC: ClassVar[str] = "training-method.added-again"
        spec: MethodSpec

    @event(Added)
    def __init__(self, spec: MethodSpec) -> None:
        self.spec = spec
        self.selectable = True

    @staticmethod
    def create_id(internal_name: str) -> UUID:
        """The stream of this name. Raises `MethodNotFound` for what no method is called."""
        if not MethodSpec.is_a_name(internal_name):
            raise MethodNotFound(internal_name)
        return uuid5(_NAMES, internal_name)

    # Decisions.

    @classmethod
    def preinstall(cls, spec: MethodSpec, *, command_id: UUID) -> Self:
        """The only way past the commercial rule: for the members of `preinstalled.py`, and nobody else's."""
        if spec not in PREINSTALLED:
            raise ValueError(f"{spec.internal_name!r} is not one of the preinstalled methods")
        return cls._create(
            cls.Preinstalled,
            id=cls.create_id(spec.internal_name),
            spec=spec,
            by=INSTALLER,
            command_id=command_id,
        )

    @classmethod
    def add(cls, spec: MethodSpec, *, by: User, command_id: UUID) -> Self:
        by.must_be_commercial(to="add a training method")
        _must_be_fit_to_keep(spec)
        return cls._create(cls.Added, id=cls.create_id(spec.internal_name), spec=spec, by=by, command_id=command_id)

    def add_again(self, spec: MethodSpec, *, by: User, command_id: UUID) -> None:
        """Bring a deleted method's name back into the catalogue; its history continues."""
        by.must_be_commercial(to="add a training method")
        if self.selectable:
            raise MethodAlreadyExists(self.spec.internal_name)
        _must_be_fit_to_keep(spec)
        self.trigger_event(self.AddedAgain, spec=spec, by=by, command_id=command_id)

    def modify(self, spec: MethodSpec, *, by: User, command_id: UUID) -> None:
        """Put `spec` in the place of the present one. A spec that changes nothing is no event."""
        changes = self.spec.differences(spec)
        if not by.is_commercial:
            self._must_be_shapeable(spec, changes, by)
        self.must_be_selectable(to="modify it")
        _must_be_fit_to_keep(spec)
        if changes:
            self.trigger_event(self.Modified, spec=spec, changes=changes, by=by, command_id=command_id)

    def delete(self, *, by: User, command_id: UUID) -> None:
        by.must_be_commercial(to=f"delete {self.spec.display_name}")
        self.must_be_selectable(to="delete it")
        self.trigger_event(
            self.Deleted,
            internal_name=self.spec.internal_name,
            display_name=self.spec.display_name,
            by=by,
            command_id=command_id,
        )

    def must_let_change(self, given: Mapping[str, Any], *, by: User) -> None:
        """Raise `CommercialUsersOnly` if this user may not give these fields, whose values nobody has judged yet.

        What `modify` would let pass is never refused here.
        """
        if by.is_commercial:
            return
        if self.spec.internal_name not in TEMPLATES:
            by.must_be_commercial(to=f"modify {self.spec.display_name}")
        came_with = (spec for spec in PREINSTALLED if spec.internal_name == self.spec.internal_name)
        known = [spec.model_dump(mode="json") for spec in (self.spec, *came_with)]
        free = SHAPEABLE_IN_TEMPLATES | {"internal_name"}  # which nobody can change
        if self.spec.code is not None or given.get("code") is not None:
            free |= FOLLOWS_FROM_CODE
        if fixed := [
            field
            for field in MethodSpec.model_fields
            if field in given and field not in free and not any(_same(given[field], spec[field]) for spec in known)
        ]:
            by.must_be_commercial(to=f"change {' or '.join(fixed)} of {self.spec.display_name}")

    def must_be_selectable(self, *, to: str) -> None:
        """Raise `MethodNotSelectable` if this method was deleted."""
        if not self.selectable:
            raise MethodNotSelectable(
                f"The training method {self.spec.internal_name!r} was deleted, so nobody can {to} any more."
            ).but(Remedy("List the ones that can be chosen", "ListMethods"))

    def _must_be_shapeable(self, spec: MethodSpec, changes: tuple[Change, ...], by: User) -> None:
        if self.spec.internal_name not in TEMPLATES:
            by.must_be_commercial(to=f"modify {self.spec.display_name}")
        shapeable = SHAPEABLE_IN_TEMPLATES
        if spec.code is not None or _as_preinstalled(spec):
            shapeable |= FOLLOWS_FROM_CODE
        if fixed := [change.field for change in changes if change.field not in shapeable]:
            by.must_be_commercial(to=f"change {' or '.join(fixed)} of {self.spec.display_name}")

    # What is remembered.

    @event(Modified)
    def _modified(self, spec: MethodSpec) -> None:
        self.spec = spec

    @event(Deleted)
    def _deleted(self) -> None:
        self.selectable = False

    @event(AddedAgain)
    def _added_again(self, spec: MethodSpec) -> None:
        self.spec = spec
        self.selectable = True


def _as_preinstalled(spec: MethodSpec) -> bool:
    """Whether trainer and backends are those that a template of this name came with."""
    came_with = {(p.internal_name, p.trainer, p.backends) for p in PREINSTALLED}
    return (spec.internal_name, spec.trainer, spec.backends) in came_with


def _same(given: object, present: object) -> bool:
    """Whether a value as somebody gave it may mean the present one: of backends the order does not count."""
    if isinstance(given, list | tuple) and isinstance(present, list):
        return all(isinstance(one, str) for one in given) and set(given) == set(present)
    return given == present


def _must_be_fit_to_keep(spec: MethodSpec) -> None:
    spec.must_keep_limits()
    for field, value in spec.model_dump(mode="json", exclude={"code"}).items():
        if holds_secret(value):
            raise InvalidMethod(
                f"{field}: holds a password, token or key, which the log would keep for ever and everybody could read. "
                "Leave it out."
            )
