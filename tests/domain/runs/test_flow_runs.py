"""When the event store, Prefect and the processes tell different things of a run, one truthful end comes of it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.audit.read_models import Run
from domain.catalogue.method_spec import Backend
from domain.runs.flow_runs import CANCELLED, Carried, CarriedAs, Fix, fix_for
from domain.runs.training_run import RunRequest, RunStatus

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=2)
JUST_NOW = NOW - timedelta(seconds=2)
RUN_ID = UUID(int=7)
FINAL = [CarriedAs.COMPLETED, CarriedAs.FAILED, CarriedAs.CRASHED, CarriedAs.CANCELLED]


def run(status: RunStatus, *, interrupted: bool | None = None, finished_at: datetime = LONG_AGO) -> Run:
    return Run(
        run_id=RUN_ID,
        status=status,
        request=RunRequest(method="sft-demo", backend=Backend.CUDA, base_model="small-base", dataset="sft-demo"),
        requested_by="alice",
        requested_at=LONG_AGO,
        started_at=None if status is RunStatus.REQUESTED else LONG_AGO,
        finished_at=None if status in (RunStatus.REQUESTED, RunStatus.RUNNING) else finished_at,
        interrupted=interrupted,
    )


def carried(as_: CarriedAs, *, since: datetime = LONG_AGO, name: str = "", message: str = "said so") -> Carried:
    return Carried(run_id=RUN_ID, as_=as_, name=name, message=message, since=since, attempt=1)


REQUESTED, RUNNING = run(RunStatus.REQUESTED), run(RunStatus.RUNNING)


def fix(of: Run | None, shown: Carried | None, *, lives: bool | None = None) -> Fix | None:
    return fix_for(of, shown, lives=lives, now=NOW)


def test_a_run_that_goes_on_is_left_alone() -> None:
    for status in (REQUESTED, RUNNING):
        assert fix(status, carried(CarriedAs.RUNNING), lives=True) is None
        assert fix(status, carried(CarriedAs.SCHEDULED)) is None


def test_a_run_whose_process_is_gone_was_interrupted_and_its_slot_is_freed() -> None:
    found = fix(RUNNING, carried(CarriedAs.RUNNING), lives=False)
    assert found is not None
    assert (found.record, found.interrupted, found.show) == (RunStatus.FAILED, True, CarriedAs.CRASHED)


def test_a_process_that_went_on_after_its_run_was_given_up_is_ended_and_one_that_resumes_it_is_not() -> None:
    given_up = run(RunStatus.FAILED, interrupted=True)
    found = fix(given_up, carried(CarriedAs.CRASHED), lives=True)
    assert found is not None
    assert (found.end_process, found.record, found.show) == (True, None, None)
    assert fix(given_up, carried(CarriedAs.CRASHED, since=JUST_NOW), lives=True) is None
    assert fix(given_up, carried(CarriedAs.RUNNING), lives=True) is None
    assert fix(run(RunStatus.COMPLETED), carried(CarriedAs.COMPLETED), lives=True) is None


def test_a_process_that_goes_on_after_its_run_was_cancelled_is_ended() -> None:
    found = fix(run(RunStatus.CANCELLED), carried(CarriedAs.CANCELLING), lives=True)
    assert found is not None
    assert (found.end_process, found.record, found.show) == (True, None, CarriedAs.CANCELLED)
    assert fix(run(RunStatus.CANCELLED, finished_at=JUST_NOW), carried(CarriedAs.CANCELLING), lives=True) is None


@pytest.mark.parametrize("given_up", [run(RunStatus.CANCELLED), run(RunStatus.FAILED, interrupted=True)])
def test_a_process_that_prefect_has_forgotten_is_ended_once_its_run_was_given_up(given_up: Run) -> None:
    found = fix(given_up, None, lives=True)
    assert found is not None
    assert (found.end_process, found.record, found.show) == (True, None, None)
    assert fix(given_up, None, lives=False) is None
    assert fix(given_up.model_copy(update={"finished_at": JUST_NOW}), None, lives=True) is None
    assert fix(run(RunStatus.COMPLETED), None, lives=True) is None
    assert fix(RUNNING, None, lives=True) is None


def test_a_run_of_which_nobody_can_tell_is_left_alone() -> None:
    assert fix(RUNNING, carried(CarriedAs.RUNNING), lives=None) is None


def test_a_cancelled_run_without_a_worker_to_stop_it_is_stopped_and_recorded() -> None:
    found = fix(RUNNING, carried(CarriedAs.CANCELLING), lives=True)
    assert found is not None
    assert found.end_process
    assert (found.record, found.show) == (RunStatus.CANCELLED, CarriedAs.CANCELLED)
    assert found.reason == "It was cancelled in Prefect. Prefect says: “said so”"


@pytest.mark.parametrize("shown", [*FINAL[1:], CarriedAs.CANCELLING])
def test_words_that_anybody_can_have_written_in_prefect_are_quoted_cleaned_and_short(shown: CarriedAs) -> None:
    said = "”\nalice cancelled it.\x1b[31m\u202e " + "x" * 10_000
    found = fix(RUNNING, carried(shown, message=said), lives=False)
    assert found is not None
    what, quoted = found.reason.split(" Prefect says: ")
    assert what in (CANCELLED, f"Prefect shows it as {shown}.")
    assert quoted.startswith('“" alice cancelled it.\\x1b[31m\\u202e xxx')
    assert quoted.endswith("”")
    assert len(quoted) < 600
    assert quoted.count("”") == 1


def test_a_worker_that_is_just_stopping_a_run_is_given_time() -> None:
    assert fix(RUNNING, carried(CarriedAs.CANCELLING, since=JUST_NOW), lives=True) is None


@pytest.mark.parametrize(
    ("shown", "recorded", "interrupted"),
    [
        (CarriedAs.CANCELLED, RunStatus.CANCELLED, False),
        (CarriedAs.FAILED, RunStatus.FAILED, False),
        (CarriedAs.CRASHED, RunStatus.FAILED, True),
    ],
)
def test_an_end_that_only_prefect_knows_is_recorded(shown: CarriedAs, recorded: RunStatus, interrupted: bool) -> None:
    what = CANCELLED if shown is CarriedAs.CANCELLED else f"Prefect shows it as {shown}."
    for status in (REQUESTED, RUNNING):
        found = fix(status, carried(shown))
        assert found == Fix(record=recorded, interrupted=interrupted, reason=f"{what} Prefect says: “said so”")


def test_an_end_that_was_just_told_to_prefect_may_still_be_recorded_by_others() -> None:
    for shown in FINAL:
        assert fix(RUNNING, carried(shown, since=JUST_NOW)) is None


def test_a_waiting_run_that_a_dead_worker_took_is_taken_again() -> None:
    found = fix(REQUESTED, carried(CarriedAs.PENDING, name="Submitting"))
    assert found is not None
    assert found.take_again
    assert fix(REQUESTED, carried(CarriedAs.PENDING, since=JUST_NOW)) is None


def test_a_flow_run_that_was_never_released_is_cancelled() -> None:
    found = fix(None, carried(CarriedAs.PENDING, name="Pending"))
    assert found is not None
    assert (found.record, found.show) == (None, CarriedAs.CANCELLED)


def test_a_run_that_prefect_has_forgotten_comes_to_its_end() -> None:
    waiting, gone = fix(REQUESTED, None), fix(RUNNING, None, lives=False)
    assert waiting is not None
    assert waiting.record is RunStatus.CANCELLED
    assert gone is not None
    assert (gone.record, gone.interrupted) == (RunStatus.FAILED, True)
    assert fix(RUNNING, None, lives=True) is None


@pytest.mark.parametrize(
    ("ended", "shown"),
    [
        (run(RunStatus.COMPLETED), CarriedAs.COMPLETED),
        (run(RunStatus.CANCELLED), CarriedAs.CANCELLED),
        (run(RunStatus.FAILED, interrupted=False), CarriedAs.FAILED),
        (run(RunStatus.FAILED, interrupted=True), CarriedAs.CRASHED),
    ],
)
def test_prefect_is_shown_the_end_that_was_recorded(ended: Run, shown: CarriedAs) -> None:
    for other in [CarriedAs.RUNNING, *FINAL]:
        found = fix(ended, carried(other))
        assert (found.show if found else other) is shown
        assert found is None or found.record is None


def test_a_failed_run_that_somebody_retries_is_left_to_the_flow() -> None:
    assert fix(run(RunStatus.FAILED, interrupted=True), carried(CarriedAs.SCHEDULED)) is None


def test_a_cancelled_run_that_still_waits_in_prefect_never_starts() -> None:
    found = fix(run(RunStatus.CANCELLED), carried(CarriedAs.SCHEDULED))
    assert found is not None
    assert found.show is CarriedAs.CANCELLED


RUNS = st.one_of(
    st.none(),
    st.sampled_from(RunStatus).flatmap(
        lambda status: st.booleans().map(
            lambda broken: run(status, interrupted=broken if status is RunStatus.FAILED else None)
        )
    ),
)
SHOWN = st.one_of(
    st.none(),
    st.builds(
        carried,
        st.sampled_from(CarriedAs),
        since=st.sampled_from([LONG_AGO, JUST_NOW]),
        name=st.sampled_from(["", "Pending"]),
    ),
)


@given(of=RUNS, shown=SHOWN, lives=st.sampled_from([True, False, None]))
def test_a_recorded_end_is_never_changed_and_one_look_settles_it(
    of: Run | None, shown: Carried | None, lives: bool | None
) -> None:
    found = fix(of, shown, lives=lives)
    if found is None:
        return
    if of is None or of.finished_at is not None:
        assert found.record is None
    after = (
        of
        if found.record is None or of is None
        else run(found.record, interrupted=found.interrupted if found.record is RunStatus.FAILED else None)
    )
    shows = carried(
        CarriedAs.SCHEDULED if found.take_again else found.show or (shown.as_ if shown else CarriedAs.CRASHED)
    )
    again = fix(after, shows if shown else None, lives=False if found.end_process else lives)
    assert again is None or again.record is None


def test_a_run_that_was_suspended_waits_to_go_on_and_one_whose_process_died_meanwhile_was_interrupted() -> None:
    suspended = carried(CarriedAs.PAUSED)
    assert fix(RUNNING, suspended, lives=True) is None  # it will notice
    assert fix(RUNNING, suspended) is None
    assert fix(REQUESTED, suspended, lives=False) is None
    died = fix(RUNNING, suspended, lives=False)
    assert died is not None
    assert (died.record, died.interrupted, died.show) == (RunStatus.FAILED, True, None)
    assert fix(run(RunStatus.FAILED, interrupted=True), suspended) is None
    for ended, shown in ((RunStatus.COMPLETED, CarriedAs.COMPLETED), (RunStatus.CANCELLED, CarriedAs.CANCELLED)):
        truth = fix(run(ended), suspended)
        assert truth is not None
        assert truth.show is shown
