"""The pages in a real browser: they move, they fit, everybody can use them, and nothing is loaded from elsewhere."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from infra.service import Service
from infra.settings import Settings
from tests.adapters.web.conftest import Visitor, app_of
from tests.adapters.web.filling import fill, steps
from tests.adapters.web.serving import CHROMIUM, a_browser, serious, served, watched
from tests.support.people import ALICE, BOB

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with a_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, list[UUID]]]:
    home = tmp_path_factory.mktemp("page") / "home"
    with Service(Settings(home=home, backends="cuda,mlx")) as installation:
        installation.migrate()
        yield installation, fill(installation, methods=6, runs=30)


@pytest.fixture(scope="module")
def pages(filled: tuple[Service, list[UUID]]) -> Iterator[str]:
    with served(app_of(filled[0], Visitor(ALICE))) as address:
        yield address


@pytest.fixture(scope="module")
def pages_of_bob(filled: tuple[Service, list[UUID]]) -> Iterator[str]:
    with served(app_of(filled[0], Visitor(BOB))) as address:
        yield address


def _all(runs: list[UUID]) -> list[str]:
    one, two = runs[0], runs[1]
    return [
        "/",
        "/add",
        "/methods/sft-team-00",
        "/methods/custom01/modify",
        "/methods/sft-demo/delete",
        "/methods/sft-demo/train",
        "/runs",
        f"/runs/{two}",
        f"/runs/{runs[5]}",
        f"/compare?run={one}&run={two}",
        "/audit",
        "/audit/counts?by=actor&across=action",
        "/audit/why?method=sft-demo",
        "/data",
        "/data/sft-demo",
        "/licences",
        "/me",
    ]


@pytest.mark.parametrize(("width", "colours"), [(1280, "light"), (390, "dark")])
def test_every_page_fits_is_accessible_and_complains_of_nothing(
    browser: Any, pages: str, pages_of_bob: str, filled: tuple[Service, list[UUID]], width: int, colours: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=colours)
    page = context.new_page()
    complaints, found = watched(page), []
    for path in _all(filled[1]):
        for address in (pages, pages_of_bob):
            page.goto(address + path)
            found += serious(page)
            wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wider <= 0, f"{path} is {wider} pixels wider than {width}"
    context.close()
    assert found == []
    assert complaints == []


def test_a_method_is_added_by_keyboard_alone(browser: Any, pages: str, filled: tuple[Service, list[UUID]]) -> None:
    page = browser.new_page()
    page.goto(pages)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Go to the content"
    page.get_by_role("link", name="Add a New").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/add")
    page.get_by_label("Internal name").focus()
    page.keyboard.type("By Keyboard")
    page.get_by_label("Description", exact=True).focus()
    page.keyboard.type("Typed.")
    page.get_by_role("button", name="Add the method").focus()
    page.keyboard.press("Enter")
    page.get_by_text("must be 2 to 63 lower-case letters").wait_for()
    name = page.get_by_label("Internal name")
    assert name.input_value() == "By Keyboard"
    assert name.get_attribute("aria-invalid") == "true"
    name.focus()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("by-keyboard")
    page.keyboard.press("Enter")
    page.get_by_text("Added by-keyboard.").wait_for()
    assert filled[0].catalogue.method("by-keyboard").spec.description == "Typed."
    page.close()


def test_another_trainers_options_come_as_it_is_chosen(browser: Any, pages: str) -> None:
    page = browser.new_page()
    page.goto(f"{pages}/add")
    page.get_by_label("Internal name").fill("grpo-support")
    page.get_by_label("Trainer", exact=True).select_option("grpo")
    page.get_by_text("num_generations").first.wait_for()
    assert page.get_by_label("Internal name").input_value() == "grpo-support"
    page.close()


def test_the_dry_run_follows_what_is_typed(browser: Any, pages: str) -> None:
    page = browser.new_page()
    page.set_default_timeout(60_000)
    complaints = watched(page)
    page.goto(f"{pages}/methods/sft-demo/train")
    page.get_by_text("100 of 32 rows").wait_for()
    page.get_by_label("max_steps").fill("20")
    page.get_by_text("20 of 32 rows").wait_for()
    page.get_by_label("max_steps").fill("0")
    page.get_by_text("must be at least 1, not 0").wait_for()
    page.close()
    assert complaints == []


def _append(folder: Path, lines: list[dict[str, object]]) -> None:
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def test_a_run_moves_within_a_second_and_over_a_restart(browser: Any, filled: tuple[Service, list[UUID]]) -> None:
    installation, runs = filled
    run_id, way = runs[26], list(steps(100))  # under way, and nothing told of it yet
    folder = installation.run_folder(run_id)
    page = browser.new_page()
    page.set_default_timeout(10_000)
    with served(app_of(installation, Visitor(ALICE))) as address:
        page.goto(f"{address}/runs/{run_id}")
        for step in (10, 40):
            _append(folder, way[step - 10 : step])
            page.get_by_text(f"step {step} of 100").wait_for(timeout=1500)
        assert page.locator("#live svg path").count() > 2
        assert page.locator("#live progress").get_attribute("value") == "0.4"
        port = int(address.rpartition(":")[2])
    page.get_by_text("this goes on by itself once it does").wait_for()
    with served(app_of(installation, Visitor(ALICE)), port):
        _append(folder, way[40:70])
        page.get_by_text("step 70 of 100").wait_for()
        installation.trainings.cancel(run_id, "It was long enough.", by=ALICE)
        page.get_by_text("It was long enough.").first.wait_for()
        assert page.locator("#live").count() == 0
    page.close()


def test_two_to_four_runs_can_be_chosen_to_compare(browser: Any, pages: str) -> None:
    page = browser.new_page()
    page.goto(f"{pages}/runs?status=completed")
    button = page.get_by_role("button", name="Compare the chosen")
    boxes = page.locator("input[name=run]")
    assert button.is_disabled()
    boxes.nth(0).check()
    boxes.nth(1).check()
    assert button.is_enabled()
    button.click()
    page.get_by_role("heading", name="Compare 2 runs").wait_for()
    page.close()


def test_times_are_those_of_the_persons_zone(browser: Any, pages: str) -> None:
    context = browser.new_context(timezone_id="Asia/Tokyo", locale="en-GB")
    page = context.new_page()
    page.goto(f"{pages}/audit")
    assert page.locator("time").first.text_content().endswith("GMT+9")
    assert page.locator("time").first.get_attribute("title").endswith("UTC")
    context.close()


def test_without_a_script_all_but_what_moves_is_there(
    browser: Any, pages: str, filled: tuple[Service, list[UUID]]
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{pages}/add")
    page.get_by_label("Trainer", exact=True).select_option("dpo")
    page.get_by_role("button", name="Show its options").click()
    page.get_by_text("label_smoothing").first.wait_for()
    page.get_by_label("Internal name").fill("dpo-by-hand")
    page.get_by_label("Method type").select_option("DPO")
    page.get_by_label("Description", exact=True).fill("Without a script.")
    page.get_by_role("button", name="Add the method").click()
    page.get_by_text("Added dpo-by-hand.").wait_for()
    page.goto(f"{pages}/methods/sft-demo/train")
    page.get_by_label("max_steps").fill("30")
    page.get_by_role("button", name="Look first").click()
    page.get_by_text("30 of 32 rows").wait_for()
    page.goto(f"{pages}/runs/{filled[1][5]}")
    assert page.locator("#live svg path").count() > 2
    assert page.locator("meta[http-equiv=refresh]").count() == 1
    page.goto(f"{pages}/methods/dpo-by-hand/delete")
    page.get_by_role("button", name="Delete dpo-by-hand").click()
    page.get_by_text("It can no longer be chosen.").wait_for()
    context.close()
