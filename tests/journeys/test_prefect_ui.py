"""What people see in Prefect's own UI, in a real browser and without any network but this machine's."""

import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from infra.settings import CHECKOUT
from tests.journeys.conftest import Machine, eventually
from tests.journeys.test_stopping import start

pytestmark = pytest.mark.journey

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PICTURES = CHECKOUT / "infra" / "pictures"
IN_THE_README = ("run-form", "run")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            yield browser
            browser.close()


@pytest.fixture
def page(browser: Any, machine: Machine) -> Iterator[Any]:
    """A page that is signed in and reaches this machine only: the UI has to work offline."""
    page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
    page.route("**/*", lambda route: route.continue_() if "//127.0.0.1" in route.request.url else route.abort())
    page.set_default_timeout(30_000)
    _sign_in(page, _link(machine))
    yield page
    page.close()


def _link(machine: Machine) -> str:
    """An address that signs a browser in, once."""
    return machine.tmm("env", "--sign-in").stdout.strip()


def _sign_in(page: Any, link: str) -> None:
    """Sign in, until the UI is there: it signs out whoever leaves while it still asks whether the password is right."""
    page.goto(link)
    page.get_by_text("Active Work Pools").first.wait_for()


def _keep(page: Any, name: str, tmp_path: Path) -> None:
    """A picture of the page; the README's pictures are made anew when TMM_PICTURES is set."""
    page.wait_for_timeout(500)  # animations of the UI; nothing is asserted after it
    folder = PICTURES if os.environ.get("TMM_PICTURES") and name in IN_THE_README else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(folder / f"{name}.png"))


def _ui(machine: Machine, path: str) -> str:
    return machine.api_url.removesuffix("/api") + path


def test_a_link_signs_a_browser_in_once(browser: Any, machine: Machine, tmp_path: Path) -> None:
    link, page = _link(machine), browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    _sign_in(page, link)
    _keep(page, "signed-in", tmp_path)
    page.goto(_ui(machine, "/deployments"))  # the other of Prefect's two UIs
    page.get_by_text("sft-demo-cuda").first.wait_for()
    assert {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))} == {
        urlsplit(machine.api_url).netloc
    }
    assert not any(link.partition("#")[2] in url for url in asked)
    page.close()
    another = browser.new_page()
    another.goto(link)
    another.get_by_text("This link was used before").wait_for()
    _keep(another, "used-before", tmp_path)
    another.goto(_ui(machine, "/"))
    another.get_by_placeholder("admin:pass").wait_for()
    another.close()


@pytest.mark.parametrize("path", ["/", "/deployments"])
def test_the_uis_own_form_takes_the_password(browser: Any, machine: Machine, tmp_path: Path, path: str) -> None:
    page = browser.new_page()
    page.goto(_ui(machine, path))
    field = page.get_by_placeholder("admin:pass")
    field.fill("tmm:guessed")
    with page.expect_response(lambda answer: answer.url.endswith("/admin/version")) as answer:
        page.get_by_role("button", name="Login").click()
    assert answer.value.status == 401
    _keep(page, "sign-in", tmp_path)
    field.fill(machine.password)
    page.get_by_role("button", name="Login").click()
    page.get_by_text("Work Pools").first.wait_for()
    page.close()


def test_the_list_of_deployments_is_the_selectable_list(page: Any, machine: Machine, tmp_path: Path) -> None:
    page.goto(_ui(machine, "/deployments"))
    for name in ("sft-demo-cuda", "grpo-demo-cuda", "custom01-cuda", "add-training-method"):
        page.get_by_text(name).first.wait_for()
    _keep(page, "deployments", tmp_path)


def _form(page: Any, machine: Machine, address: str) -> None:
    """Go to the run form of a deployment."""
    deployment = machine.prefect("GET", f"/deployments/name/{address}")
    page.goto(_ui(machine, f"/deployments/deployment/{deployment['id']}/run"))
    page.get_by_text("Parameters", exact=True).first.wait_for()


def test_the_run_form_shows_the_methods_own_options(page: Any, machine: Machine, tmp_path: Path) -> None:
    _form(page, machine, "train/sft-demo-cuda")
    for label in ("base_model", "dataset", "max_steps", "learning_rate", "lr_scheduler_type", "seed", "output_name"):
        page.get_by_text(label).first.wait_for()
    page.get_by_text("(1 to 100000)").first.wait_for()
    _keep(page, "run-form", tmp_path)


def _field(page: Any, described: str) -> Any:
    """The field of a form that has this description."""
    return page.locator(".schema-form-property", has_text=described).last


def _choose(page: Any, field: Any, value: str) -> None:
    field.locator(".p-select-button__control").first.press("ArrowDown")
    page.locator(".p-select-option", has_text=value).first.click()


def _submitted(page: Any) -> UUID:
    """Submit the form, again where Prefect's SQLite is busy, as a person would; the flow run's id."""

    def submit() -> str | None:
        with page.expect_response(lambda response: response.url.endswith("/create_flow_run")) as answer:
            page.get_by_role("button", name="Submit").click()
        return answer.value.json()["id"] if answer.value.ok else None

    return UUID(eventually(submit, within=60, what="a flow run of the form"))


def test_a_dataset_is_chosen_in_a_drop_down_or_typed(page: Any, machine: Machine) -> None:
    _form(page, machine, "train/sft-demo-cuda")
    field = _field(page, "a local JSONL file or folder")
    field.get_by_text("choose", exact=True).click()
    _choose(page, field, "mlx-demo")
    text = field.locator("textarea")
    text.wait_for()
    assert text.input_value() == "mlx-demo"
    text.fill("organisation/name")
    text.press("Tab")
    assert text.input_value() == "organisation/name"


def test_adding_in_the_ui_without_a_licence_ends_failed_with_the_reason(
    page: Any, machine: Machine, tmp_path: Path
) -> None:
    for licence in machine.settings.licences.glob("*"):  # what other journeys installed
        licence.unlink()
    _form(page, machine, "add-training-method/add-training-method")
    _field(page, "starting with a letter").locator("textarea").fill("from-the-ui")
    _choose(page, _field(page, "A method to copy"), "sft-demo")
    page.get_by_role("button", name="Add item").click()  # an option is a card
    _choose(page, _field(page, "One of the trainer's"), "learning_rate")
    _field(page, "not above the trainer's").locator("input").fill("0.001")
    _keep(page, "add-form", tmp_path)
    run_id = _submitted(page)
    assert machine.ends_in_prefect(run_id)["type"] == "FAILED"
    page.goto(_ui(machine, f"/runs/flow-run/{run_id}"))
    page.get_by_text("prefect may not add a training method: this is for commercial users only").first.wait_for()
    _keep(page, "add-refused", tmp_path)
    audit = machine.tmm("audit", "--outcome", "refused", "--action", "add", "--text", "from-the-ui").stdout
    assert "was refused to add from-the-ui" in audit


def _curve(page: Any, machine: Machine, run_id: UUID) -> None:
    """Go to the run's own page, and see its curve."""

    def made() -> Any:
        return machine.prefect("POST", "/artifacts/filter", artifacts={"key": {"any_": [f"training-run-{run_id}"]}})

    page.goto(_ui(machine, f"/artifacts/artifact/{eventually(made, within=30, what='the page of a run')[0]['id']}"))
    page.locator("img[src^='data:image/svg+xml']").first.wait_for()


def test_a_run_under_way_shows_how_it_goes(page: Any, machine: Machine, tiny: Path, tmp_path: Path) -> None:
    run_id = start(machine, tiny)
    try:
        machine.reached(run_id, 2)
        page.goto(_ui(machine, f"/runs/flow-run/{run_id}"))
        page.get_by_text("Running").first.wait_for()
        _keep(page, "run-under-way", tmp_path)
    finally:
        assert machine.tmm("cancel", str(run_id)).returncode == 0


def test_a_finished_run_shows_its_curve_and_what_came_of_it(
    page: Any, machine: Machine, tiny: Path, tmp_path: Path
) -> None:
    run_id = start(machine, tiny, max_steps=20)
    machine.both_say(run_id, "completed", "COMPLETED", within=120)
    _curve(page, machine, run_id)
    page.get_by_text("completed, ").first.wait_for()
    _keep(page, "run", tmp_path)


def test_the_page_of_the_methods_is_a_table_that_leads_to_their_forms(
    page: Any, machine: Machine, tmp_path: Path
) -> None:
    def made() -> Any:
        return machine.prefect("POST", "/artifacts/filter", artifacts={"key": {"any_": ["training-methods"]}})

    found = eventually(made, within=90, what="the page of the methods")
    page.goto(_ui(machine, f"/artifacts/artifact/{found[0]['id']}"))
    page.get_by_role("link", name="cuda").first.wait_for()
    page.get_by_text("SFT-Demo").first.wait_for()
    _keep(page, "training-methods", tmp_path)


NOT_OURS = (
    "![a picture](http://elsewhere.example/a.png) <img src=http://elsewhere.example/b.png> "
    "<input type=password placeholder=Password> [come in](http://elsewhere.example) # Not a heading"
)


def test_texts_of_people_are_shown_as_text_and_make_nothing_of_the_pages(
    page: Any, machine: Machine, tmp_path: Path
) -> None:
    _describe(machine)
    asked = _requests_of(page)

    def known() -> Any:
        found = machine.prefect("GET", "/deployments/name/train/custom01-cuda")
        return found if "placeholder" in found["description"] else None

    deployment = eventually(known, within=60, what="the description of custom01")
    _shown_as_text(page, machine, f"/deployments/deployment/{deployment['id']}?tab=Description", tmp_path)
    _shown_as_text(page, machine, f"/deployments/deployment/{deployment['id']}/run", tmp_path)
    assert not [address for address in asked if "elsewhere" in address]


@pytest.mark.full  # the page of a method is written anew once a minute
def test_texts_of_people_are_shown_as_text_on_a_methods_page(page: Any, machine: Machine, tmp_path: Path) -> None:
    _describe(machine)
    asked = _requests_of(page)

    def written() -> Any:
        found = machine.prefect("POST", "/artifacts/filter", artifacts={"key": {"any_": ["training-method-custom01"]}})
        return next((one for one in found if "placeholder" in one["data"]), None)

    artifact = eventually(written, within=90, what="the page of custom01")
    _shown_as_text(page, machine, f"/artifacts/artifact/{artifact['id']}", tmp_path)
    assert not [address for address in asked if "elsewhere" in address]


def _describe(machine: Machine) -> None:
    said = machine.tmm("modify", "custom01", "--description", NOT_OURS, "--option", f"max_steps,description={NOT_OURS}")
    assert said.returncode == 0, said.stderr


def _requests_of(page: Any) -> list[str]:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    return asked


def _shown_as_text(page: Any, machine: Machine, path: str, folder: Path) -> None:
    page.goto(_ui(machine, path))
    page.get_by_text("<input type=password placeholder=Password>").first.wait_for()
    assert page.locator("input[type=password], [src*='elsewhere'], a[href*='elsewhere']").count() == 0
    _keep(page, path.rpartition("/")[2] or "page", folder)
