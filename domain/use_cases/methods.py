"""The acts on the catalogue: list, look, add, modify, delete."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from domain.audit.read_models import MethodVersion, Run, SelectableMethod
from domain.catalogue.trainer_declaration import TrainerDeclaration
from domain.use_cases.act import Act
from domain.use_cases.queries import Action, Verdict
from domain.values import Value


class Listed(Value):
    """A selectable method beside who added it, when (UTC), and its newest run."""

    method: SelectableMethod
    added_by: str | None = None
    added_at: datetime | None = None
    last_run: Run | None = None


class Changed(Value):
    """A method after a change, or as it was when it was deleted. `remark` says what lags behind, such as Prefect."""

    method: SelectableMethod
    remark: str | None = None


class Impact(Value):
    """What deleting a method would affect, in a sentence, and the runs that wait and would be cancelled."""

    sentence: str
    waiting: tuple[Run, ...]


class ListMethods(Act[Sequence[SelectableMethod]]):
    """What can be chosen for a training, or could be at a moment, by internal name."""

    as_of: datetime | None = None


class MethodsAtAGlance(Act[Sequence[Listed]]):
    """What can be chosen, with who added it and its newest run, by internal name."""


class ShowMethod(Act[SelectableMethod]):
    """One method that can be chosen. Raises `MethodNotFound`, or `MethodNotSelectable` if it was deleted."""

    name: str


class MethodHistory(Act[Sequence[MethodVersion]]):
    """What a method was from one change to the next, the oldest first."""

    name: str


class MayI(Act[Verdict]):
    """Whether one may do something to a method. Nothing is tried or recorded."""

    action: Action
    name: str


class AddMethod(Act[Changed]):
    """Put a method into the catalogue; what is left out of `fields` is that of `start_from`, or the trainer's."""

    fields: Mapping[str, Any]
    start_from: str = ""


class ModifyMethod(Act[Changed]):
    """Change fields of a method."""

    name: str
    changes: Mapping[str, Any]


class DeletionImpact(Act[Impact]):
    """What deleting a method would affect."""

    name: str


class DeleteMethod(Act[Changed]):
    """Take a method out of the catalogue; runs of it that wait are cancelled."""

    name: str


class OfferedTrainers(Act[Sequence[TrainerDeclaration]]):
    """The trainers that a method can name, with the options that they declare."""
