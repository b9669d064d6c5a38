"""A new user's way through the page, in a real browser on a real Prefect server: from a licence to the audit log."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from domain.audit.read_models import AuditQuery
from domain.people.roles import EVERY_ROLE
from domain.people.users import Origin, User
from infra.service import Service
from infra.settings import CHECKOUT
from tests.adapters.web.conftest import app_of
from tests.adapters.web.serving import CHROMIUM, a_browser, served, watched
from tests.journeys.conftest import Machine

PICTURES, IN_THE_README = CHECKOUT / "infra" / "pictures", ("methods",)

pytestmark = [pytest.mark.journey, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]


@dataclass
class SomebodyHere:
    """A person whose edition is that of the licences which are installed."""

    installation: Service
    name: str
    csrf_token: str = "token"
    roles: frozenset[str] = frozenset()

    def user(self) -> User:
        entitlement = self.installation.licences.entitlement_of(self.name)
        return User(name=self.name, entitlement=entitlement, origin=Origin.WEB, roles=EVERY_ROLE)


@pytest.fixture
def here(machine: Machine) -> Iterator[Service]:
    with Service(machine.settings) as installation:
        yield installation


def _keep(page: Any, name: str, tmp_path: Path) -> None:
    folder = PICTURES if os.environ.get("TMM_PICTURES") and name in IN_THE_README else tmp_path
    page.screenshot(path=str(folder / f"{name}.png"), full_page=True)


def test_from_a_licence_to_the_audit_log_without_reading_anything(
    here: Service, machine: Machine, tiny: Path, tmp_path: Path
) -> None:
    key = tmp_path / "keys"
    here.licences.generate_pair(key)
    licence = tmp_path / "acme.licence"
    here.licences.issue(key / "private.pem", customer="Acme", users=["dora"], days=30, out=licence)

    with (
        served(app_of(here, SomebodyHere(here, "dora"))) as doras,
        served(app_of(here, SomebodyHere(here, "emil"))) as emils,
        a_browser() as browser,
    ):
        page = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light").new_page()
        page.set_default_timeout(60_000)
        complaints = watched(page)

        page.goto(doras)
        page.get_by_text("dora may not add a training method").wait_for()
        _keep(page, "methods", tmp_path)
        page.get_by_role("link", name="Licences").click()
        page.get_by_label("Its public.pem").set_input_files(key / "public.pem")
        page.get_by_role("button", name="Trust").click()
        page.get_by_text("Trusted the key").wait_for()
        page.get_by_label("Its file").set_input_files(licence)
        page.get_by_role("button", name="Install").click()
        page.get_by_text("Installed the licence").wait_for()

        page.get_by_role("link", name="Methods", exact=True).click()
        page.get_by_role("link", name="Add a New").click()
        page.get_by_label("Start from").select_option("sft-demo")
        page.get_by_role("button", name="Take it over").click()
        page.get_by_label("Internal name").fill("sft-of-dora")
        page.get_by_label("Display name").fill("SFT of Dora")
        page.get_by_role("button", name="Add the method").click()
        page.get_by_text("Added SFT of Dora.").wait_for()
        _keep(page, "method", tmp_path)

        page.get_by_role("link", name="Train", exact=True).click()
        page.get_by_label("Dataset", exact=True).fill(str(tiny))
        page.get_by_label("max_steps").fill("150")
        page.get_by_label("batch_size").fill("4")
        page.get_by_label("Name for the result").fill("dora's adder")
        page.get_by_text("150 of 4 rows").wait_for()
        page.get_by_role("button", name="Start the training").click()
        page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}"))
        run_id = page.url.partition("/runs/")[2][:36]
        page.get_by_text(re.compile(r"step \d+ of 150")).first.wait_for()
        _keep(page, "live", tmp_path)
        page.get_by_role("heading", name="On the held-out rows").wait_for(timeout=120_000)
        _keep(page, "run", tmp_path)

        page.get_by_label("Questions").fill("98+58=")
        page.get_by_role("button", name="Ask", exact=True).click()
        page.locator("#answers").wait_for()
        with page.expect_download() as download:
            page.get_by_role("button", name="Export the model").click()
        assert download.value.suggested_filename == f"{run_id[:8]}-model.tar"
        page.get_by_role("button", name="Run it again").click()
        page.get_by_text("it repeats").wait_for()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("dora cancelled it at the page.").first.wait_for()
        page.goto(f"{doras}/runs?method=sft-of-dora")
        for box in page.locator("input[name=run]").all():
            box.check()
        page.get_by_role("button", name="Compare the chosen").click()
        page.get_by_role("heading", name="Compare 2 runs").wait_for()

        other = browser.new_page()
        other.goto(f"{emils}/methods/sft-of-dora")
        assert other.get_by_role("button", name="Delete").is_disabled()
        other.get_by_text("emil may not modify SFT of Dora").wait_for()
        other.goto(f"{emils}/methods/custom01/modify")
        other.get_by_label("Description", exact=True).fill("Emil's own.")
        other.get_by_role("button", name="Save the changes").click()
        other.get_by_text("Modified description.").wait_for()
        other.close()

        page.goto(f"{doras}/methods/sft-of-dora")
        page.get_by_role("link", name="Delete").click()
        page.get_by_text("it cannot be chosen any more").wait_for()
        page.get_by_role("button", name="Delete sft-of-dora").click()
        page.get_by_text("Deleted SFT of Dora.").wait_for()
        page.goto(f"{doras}/audit?actor=dora")
        for deed in ("added SFT of Dora", "requested a training with sft-of-dora", "deleted SFT of Dora"):
            page.get_by_text(deed).first.wait_for()
        _keep(page, "audit", tmp_path)
        assert complaints == []

    entries = here.auditing.entries(AuditQuery(method="sft-of-dora", limit=1000))
    at_the_page = [(entry.actor, entry.action) for entry in entries if entry.origin == "page"]
    assert at_the_page == [
        ("dora", "add"),
        ("dora", "request"),
        ("dora", "request"),
        ("dora", "cancel"),
        ("dora", "delete"),
    ]
    modified = AuditQuery(method="custom01", action="modify", origin="page")
    assert [entry.actor for entry in here.auditing.entries(modified)] == ["emil"]
