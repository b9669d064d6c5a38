"""Two trainings held against one another."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.audit.read_models import Run
from domain.runs.comparison import Agreement, Difference, Measure, Verdict, agreement, changed_since, compared
from domain.runs.training_run import Provenance, RunRequest, RunStatus

PROVENANCE = Provenance(
    base_model_hash="b" * 64,
    dataset_hash="d" * 64,
    held_out_hash="e" * 64,
    code_hash="c" * 64,
    packages={"torch": "2.13.0", "trl": "1.16.0"},
    python="3.11.9",
    device="CPU",
    machine="desk",
)


def run(**changes: Any) -> Run:
    request = {"method": "sft-demo", "backend": "cuda", "base_model": "small-base", "dataset": "sft-demo"}
    fields: dict[str, Any] = {
        "run_id": UUID(int=1),
        "status": RunStatus.COMPLETED,
        "request": RunRequest.parse(request | changes.pop("request", {})),
        "requested_by": "ada",
        "requested_at": datetime(2026, 11, 24, tzinfo=UTC),
        "method_version": 1,
        "options": {"max_steps": 100, "learning_rate": 1e-3},
        "provenance": PROVENANCE,
        "weights_hash": "a" * 64,
        "before": {"accuracy": 0.3},
        "after": {"accuracy": 0.8},
    }
    return Run(**fields | changes)


def losses(*values: float, **more: float) -> list[dict[str, float]]:
    return [{"step": float(step), "total": 9.0, "loss": loss, **more} for step, loss in enumerate(values, start=1)]


def test_a_run_beside_itself_shows_no_difference() -> None:
    found = compared(run(), run(), losses(3, 2), losses(3, 2))

    assert (found.making, found.options, found.same_weights) == ((), (), True)
    assert found.curves.verdict is Verdict.SAME


def test_every_option_that_differs_is_named_with_both_values_and_no_other() -> None:
    found = compared(run(), run(options={"max_steps": 50, "learning_rate": 1e-3, "beta": 0.1}), [], [])

    assert found.options == (
        Difference(name="max_steps", one=100, other=50),
        Difference(name="beta", one=None, other=0.1),
    )


def test_what_two_runs_were_made_of_is_told_apart_down_to_a_packages_version() -> None:
    newer = PROVENANCE.model_copy(update={"packages": {"torch": "2.14.0", "trl": "1.16.0"}, "dataset_hash": "f" * 64})
    other = run(provenance=newer, method_version=2, request={"seed": 7})

    names = [difference.name for difference in compared(run(), other, [], []).making]

    assert names == ["method version", "seed", "dataset's rows", "torch"]


def test_what_changed_since_a_run_is_told_before_it_is_repeated() -> None:
    now = PROVENANCE.model_copy(update={"code_hash": "0" * 64})

    assert changed_since(PROVENANCE, PROVENANCE) == ()
    assert changed_since(PROVENANCE, now) == (Difference(name="training code", one="c" * 64, other="0" * 64),)


def test_measures_stand_side_by_side_also_where_a_run_has_none() -> None:
    found = compared(run(), run(after=None, before=None), [], [])

    assert found.measures == (Measure(name="accuracy", one=(0.3, 0.8), other=(None, None)),)


def test_a_run_that_has_not_started_can_be_compared_by_what_was_asked_for() -> None:
    waiting = run(options=None, provenance=None, method_version=None, weights_hash=None, after=None)

    found = compared(waiting, waiting, [], [])

    assert found.same_weights is None
    assert found.curves.verdict is Verdict.UNKNOWN


def test_curves_that_part_are_told_from_where_on() -> None:
    assert agreement(losses(3, 2, 1), losses(3, 2.5, 1)) == Agreement(
        verdict=Verdict.DIFFERENT, words="They differ from step 2 on: loss 2 and 2.5."
    )


def test_the_last_digits_of_32_bit_numbers_count_as_rounding() -> None:
    found = agreement(losses(3, 2, 1), losses(3, 2.000001, 1))

    assert found.verdict is Verdict.WITHIN_ROUNDING
    assert "step 2" in found.words


def test_speed_and_memory_are_the_machines_and_tell_nothing_of_the_training() -> None:
    slow = losses(3, 2, tokens_per_second=10.0, peak_memory=1.0, step_seconds=9.0)
    quick = losses(3, 2, tokens_per_second=900.0, peak_memory=2.0, step_seconds=0.1)

    assert agreement(slow, quick).verdict is Verdict.SAME


def test_a_shorter_run_agrees_as_far_as_it_came_and_is_not_the_same() -> None:
    found = agreement(losses(3, 2, 1), losses(3, 2))

    assert found.verdict is Verdict.DIFFERENT
    assert found.words == "They agree at the 2 steps that both reported, of 3 and 2."


@given(
    values=st.lists(st.floats(min_value=-1e6, max_value=1e6), min_size=1, max_size=20),
    other=st.lists(st.floats(min_value=-1e6, max_value=1e6), min_size=1, max_size=20),
)
def test_agreement_does_not_depend_on_which_run_is_named_first(values: list[float], other: list[float]) -> None:
    one, two = losses(*values), losses(*other)

    assert agreement(one, two).verdict is agreement(two, one).verdict
    assert agreement(one, one).verdict is Verdict.SAME
