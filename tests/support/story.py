"""Domain tests as stories: `given(…).when(…).then(…)`. Given deeds are told by their events, as a replay would."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID, uuid4

import pytest

from domain.catalogue.method_spec import MethodSpec
from domain.catalogue.training_method import TrainingMethod
from domain.errors import TrainingMethodError
from domain.events import Aggregate, DomainEvent
from domain.people.users import User
from domain.runs.training_run import RunRequest, TrainingRun
from tests.support.people import ALICE, PROVENANCE

Deed = Callable[[Any], Any]


def given(*deeds: Deed) -> "Story":
    """What happened before, from the first event of a stream."""
    story = Story([])
    for deed in deeds:
        story.events += story.carried_out(deed)
    return story


@dataclass
class Story:
    events: list[DomainEvent]

    def aggregate(self) -> Any:
        aggregate: Aggregate | None = None
        for event in self.events:
            aggregate = event.mutate(aggregate)
        return aggregate

    def carried_out(self, deed: Deed) -> list[DomainEvent]:
        return list(deed(self.aggregate()).collect_events())

    def when(self, deed: Deed) -> "Attempt":
        return Attempt(self, deed)


@dataclass
class Attempt:
    story: Story
    deed: Deed

    def then(self, *kinds: type[DomainEvent]) -> list[DomainEvent]:
        """Exactly these events happen."""
        happened = self.story.carried_out(self.deed)
        assert [type(event) for event in happened] == list(kinds)
        self.story.events += happened
        self.story.aggregate()
        return happened

    def then_nothing(self) -> None:
        assert self.story.carried_out(self.deed) == []

    def then_refused(self, error: type[TrainingMethodError], saying: str | None = None) -> Self:
        """This error is raised, in these words, and nothing happens."""
        aggregate = self.story.aggregate()
        with pytest.raises(error, match=saying):
            self.deed(aggregate)
        assert aggregate is None or aggregate.pending_events == []
        return self


# Deeds on methods.


def preinstalled(spec: MethodSpec) -> Deed:
    return lambda _: TrainingMethod.preinstall(spec, command_id=uuid4())


def added(spec: MethodSpec, *, by: User = ALICE) -> Deed:
    def add(method: TrainingMethod | None) -> TrainingMethod:
        if method is None:
            return TrainingMethod.add(spec, by=by, command_id=uuid4())
        method.add_again(spec, by=by, command_id=uuid4())
        return method

    return add


add = added


def modify(*, by: User = ALICE, **changes: Any) -> Deed:
    def deed(method: TrainingMethod) -> TrainingMethod:
        method.modify(method.spec.with_changes(changes), by=by, command_id=uuid4())
        return method

    return deed


def deleted(*, by: User = ALICE) -> Deed:
    def deed(method: TrainingMethod) -> TrainingMethod:
        method.delete(by=by, command_id=uuid4())
        return method

    return deed


delete = deleted

# Deeds on runs.


def requested(request: RunRequest, *, by: User = ALICE, run_id: UUID | None = None) -> Deed:
    return lambda _: TrainingRun.ask_for(run_id or uuid4(), request, by=by, command_id=uuid4())


def _on_run(name: str, **facts: Any) -> Deed:
    def deed(run: TrainingRun) -> TrainingRun:
        getattr(run, name)(**facts, command_id=uuid4())
        return run

    return deed


def started() -> Deed:
    return _on_run("start", method_version=1, options={}, provenance=PROVENANCE)


def completed(*, measured: bool = True) -> Deed:
    return _on_run(
        "complete",
        artifact="folder",
        artifact_hash="e" * 64,
        weights_hash="f" * 64,
        steps=3,
        metrics={"loss": 0.5},
        before={},
        after={},
        measured=measured,
    )


def measured(before: dict[str, float], after: dict[str, float]) -> Deed:
    return _on_run("measure", by=ALICE, before=before, after=after)


def failed(reason: str = "the loss is not finite", *, interrupted: bool = False) -> Deed:
    return _on_run("fail", reason=reason, interrupted=interrupted)


def cancelled(reason: str = "changed my mind", *, by: User = ALICE) -> Deed:
    return _on_run("cancel", reason=reason, by=by)


def resumed(step: int = 2) -> Deed:
    return _on_run("resume", step=step)
