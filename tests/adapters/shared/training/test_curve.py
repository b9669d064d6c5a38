"""The picture of how a training went."""

import math
import random
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.shared.training.curve import curve_svg, curves_svg

NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)


def steps_of(values: list[float], name: str = "loss") -> list[dict[str, float]]:
    return [{"step": float(step), name: value} for step, value in enumerate(values, start=1)]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]


@given(values=st.lists(NUMBERS, max_size=40), title=st.text(st.characters(codec="utf-8", categories=["L", "P", "S"])))
def test_whatever_was_reported_the_picture_is_well_formed_and_every_number_in_it_is_finite(
    values: list[float], title: str
) -> None:
    svg = curve_svg(steps_of(values), title=title)

    ET.fromstring(svg)
    assert "nan" not in svg.replace(title, "").lower().replace("font", "")
    assert "inf" not in svg.replace(title, "").lower()


def test_the_picture_needs_nothing_from_outside() -> None:
    svg = curve_svg(steps_of([3, 2, 1]), title="sft-demo")

    assert svg.count("http") == 1  # the namespace's name, which nobody fetches
    assert "href" not in svg
    assert "<style" not in svg


def test_reward_and_loss_have_a_panel_each_and_other_metrics_none() -> None:
    steps = [{"step": 1, "loss": 2.0, "reward": 0.1, "grad_norm": 9.0}, {"step": 2, "loss": 1.0, "reward": 0.4}]

    assert [text for text in texts(curve_svg(steps)) if text.isalpha()] == ["reward", "loss"]


def test_a_falling_loss_falls_from_the_upper_left_to_the_lower_right() -> None:
    path = next(e for e in ET.fromstring(curve_svg(steps_of([4, 3, 2, 1]))).iter() if e.get("fill") == "none")
    places = [tuple(map(float, place.split())) for place in path.attrib["d"].removeprefix("M").split("L")]

    assert places == sorted(places)  # to the right, and y grows downwards
    assert (places[0], places[-1]) == ((64.0, 34.0), (624.0, 190.0))


def test_a_run_that_reported_nothing_says_so() -> None:
    assert texts(curve_svg([])) == ["No step was reported yet."]


def test_a_run_of_one_step_is_a_point() -> None:
    assert "<circle" in curve_svg(steps_of([1.5]))


def test_a_very_long_run_makes_no_larger_picture_and_keeps_its_last_value() -> None:
    noise = random.Random(0)
    svg = curve_svg(steps_of([math.exp(-step / 5e4) + noise.random() / 10 for step in range(100_000)]))

    assert len(svg) < 20_000
    assert "624.0" in svg


def test_a_noisy_run_gets_its_running_mean_on_top() -> None:
    noise = random.Random(0)
    svg = curve_svg(steps_of([noise.random() for _ in range(200)]))

    assert svg.count('fill="none"') == 2


def test_two_runs_in_one_picture_have_colours_and_names_of_their_own() -> None:
    svg = curves_svg({"1a2b": steps_of([3, 2]), "3c4d": steps_of([3, 1])})

    colours = {e.get("stroke") for e in ET.fromstring(svg).iter() if e.get("fill") == "none"}
    assert len(colours) == 2
    assert {"1a2b", "3c4d"} <= set(texts(svg))


@pytest.mark.parametrize("values", [[5.0, 5.0], [1e-9, 2e-9], [1e6, 3e6], [-2.0, 7.0]])
def test_the_axis_is_marked_with_a_few_round_numbers(values: list[float]) -> None:
    marks = [float(text) for text in texts(curve_svg(steps_of(values))) if text[0] in "-0123456789"]

    assert 4 <= len(marks) <= 14
    assert all(float(f"{mark:.3g}") == mark for mark in marks)
