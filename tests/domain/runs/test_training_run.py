"""What may follow what in a training run."""

from uuid import uuid4

import pytest

from domain.errors import InvalidRunRequest, NothingToMeasure, RunAlreadyFinished, RunRequestChanged
from domain.people.users import Origin
from domain.runs.training_run import RunRequest, RunStatus, TrainingRun
from tests.support.people import ALICE, BOB, request
from tests.support.story import cancelled, completed, failed, given, measured, requested, resumed, started

RUNNING = (requested(request()), started())
ENDS = {"completed": completed(), "failed": failed(), "cancelled": cancelled()}
each_end = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)


def test_a_run_is_requested_started_and_completed() -> None:
    story = given(requested(request()))
    story.when(started()).then(TrainingRun.Started)
    story.when(completed()).then(TrainingRun.Completed)
    assert story.aggregate().status is RunStatus.COMPLETED


def test_how_a_run_goes_is_done_by_whoever_asked_for_it_and_given_up_by_whoever_gives_it_up() -> None:
    deeds = (*RUNNING, failed(interrupted=True), resumed())
    for story in (given(*deeds, completed()), given(*deeds, cancelled(by=BOB))):
        asked, *went, ended = story.events
        assert asked.by == ALICE
        then = ALICE.model_copy(update={"origin": Origin.FLOW, "flow_run_id": asked.originator_id})
        assert {event.by for event in went} == {then}
        assert ended.by == (BOB if isinstance(ended, TrainingRun.Cancelled) else then)


@each_end
@pytest.mark.parametrize("next_deed", [started(), completed(), failed(), cancelled(), resumed()])
def test_what_has_ended_stays_ended(end, next_deed) -> None:
    given(*RUNNING, end).when(next_deed).then_refused(RunAlreadyFinished, "so it cannot be")


def test_a_run_that_completed_unmeasured_is_measured_once() -> None:
    story = given(*RUNNING, completed(measured=False))
    story.when(measured({"loss": 2.0}, {"loss": 1.0})).then(TrainingRun.Measured)
    assert story.aggregate().status is RunStatus.COMPLETED
    story.when(measured({}, {})).then_refused(NothingToMeasure, "was measured")


@pytest.mark.parametrize("deeds", [RUNNING, (*RUNNING, completed()), (*RUNNING, failed()), (*RUNNING, cancelled())])
def test_only_what_completed_unmeasured_can_be_measured_later(deeds) -> None:
    given(*deeds).when(measured({}, {})).then_refused(NothingToMeasure, "measure")


def test_an_interrupted_run_is_resumed_and_completed() -> None:
    story = given(*RUNNING, failed("the machine went away", interrupted=True))
    story.when(resumed(step=40)).then(TrainingRun.Resumed)
    assert story.aggregate().status is RunStatus.RUNNING
    story.when(completed()).then(TrainingRun.Completed)


def test_a_resumed_run_that_fails_for_good_is_not_resumed() -> None:
    given(*RUNNING, failed(interrupted=True), resumed(), failed()).when(resumed()).then_refused(RunAlreadyFinished)


def test_a_run_is_started_once() -> None:
    given(*RUNNING).when(started()).then_refused(RunAlreadyFinished, "was started before")


def test_a_waiting_run_may_be_cancelled() -> None:
    given(requested(request())).when(cancelled()).then(TrainingRun.Cancelled)


def test_an_interrupted_run_that_is_given_up_goes_on_no_more() -> None:
    story = given(*RUNNING, failed(interrupted=True))
    story.when(cancelled()).then(TrainingRun.Cancelled)
    assert story.aggregate().status is RunStatus.CANCELLED
    story.when(resumed()).then_refused(RunAlreadyFinished)
    given(*RUNNING, failed()).when(cancelled()).then_refused(RunAlreadyFinished)


def test_a_run_carries_what_was_asked_for_and_nothing_else() -> None:
    run = given(requested(request(seed=1, options={"max_steps": 5}))).aggregate()
    run.must_be_asked_for_as(request(seed=1, options={"max_steps": 5}))
    with pytest.raises(RunRequestChanged, match=r"options, seed.*changed after it was requested"):
        run.must_be_asked_for_as(request(seed=2, options={"max_steps": 6}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("backend", "tpu"),
        ("seed", -1),
        ("seed", 2**31),
        ("base_model", ""),
        ("dataset", "x" * 401),
        ("output_name", "x" * 81),
        ("columns", "x" * 401),
        ("options", {"max_steps": [1]}),
        ("colour", "red"),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused_naming_the_field(field: str, value: object) -> None:
    fields = request().model_dump(mode="json") | {field: value}
    with pytest.raises(InvalidRunRequest, match=field):
        RunRequest.parse(fields)


def test_every_event_of_a_run_names_its_method() -> None:
    run_id = uuid4()
    story = given(requested(request(), run_id=run_id), started(), failed(interrupted=True), resumed(), completed())
    assert {event.method for event in story.events} == {"sft-support"}
    assert {event.originator_id for event in story.events} == {run_id}
