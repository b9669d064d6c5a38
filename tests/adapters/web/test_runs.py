"""The runs' pages."""

import re
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from infra.service import Service
from tests.adapters.web.filling import fill
from tests.support.people import ALICE


@pytest.fixture
def runs(here: Service) -> list[str]:
    return [str(run_id) for run_id in fill(here, methods=3, runs=70)]


def test_pages_go_on_where_the_last_one_ended(alice: TestClient, runs: list[str]) -> None:
    seen: list[str] = []
    address: str | None = "/runs"
    while address:
        page = alice.get(address).text
        seen += re.findall(r'name="run" value="([0-9a-f-]+)"', page)
        older = re.search(r'href="([^"]+)">Older', page)
        address = older[1].replace("&amp;", "&") if older else None
    assert len(seen) == len(runs)
    assert set(seen) == set(runs)


def test_runs_are_filtered(alice: TestClient, runs: list[str]) -> None:
    page = alice.get("/runs?status=failed&by=bob&method=sft-team-02").text
    assert page.count('name="run"') == len([n for n in range(70) if n % 7 == 4 and n % 3 == 0 and n % 3 == 2])
    assert "No run fits" in page
    failed = alice.get("/runs?status=failed").text
    assert failed.count('class="pill failed"') == 10


def test_a_run_tells_all_of_itself(alice: TestClient, runs: list[str]) -> None:
    page = alice.get(f"/runs/{runs[1]}").text
    for words in ("55.0%", "before 12.0%", "<svg", "Curves of every other metric (2)", "expected", "Ask both models"):
        assert words in page
    assert f'action="/runs/{runs[1]}/export"' in page
    assert "answers.json" in page
    assert "completed a training" in page
    assert 'class="live"' not in page


def test_a_run_under_way_stands_there_without_a_script(alice: TestClient, runs: list[str]) -> None:
    page = alice.get(f"/runs/{runs[5]}").text
    assert f'data-live="/runs/{runs[5]}/live"' in page
    assert "step 60 of 100" in page
    assert "<svg" in page
    assert '<meta http-equiv="refresh"' in page


def test_files_are_those_of_the_run_alone(alice: TestClient, runs: list[str]) -> None:
    assert alice.get(f"/runs/{runs[1]}/files/answers.json").headers["content-disposition"].startswith("attachment")
    assert alice.get(f"/runs/{runs[1]}/files/%2E%2E/%2E%2E/prefect.db").status_code == 404
    assert alice.get(f"/runs/{runs[1]}/files/..%2F..%2F..%2Ftmm.db").status_code == 404


def test_two_runs_are_compared(alice: TestClient, runs: list[str]) -> None:
    page = alice.get(f"/compare?run={runs[0]}&run={runs[1]}&run={runs[2]}").text
    assert "max_steps" in page
    assert "They are the same at each of 60 steps" in page
    one = alice.get(f"/compare?run={runs[0]}")
    assert one.status_code == 422
    assert "Choose 2 to 4 runs" in one.text


def test_a_waiting_run_is_cancelled_by_whoever_pressed(here: Service, alice: TestClient, runs: list[str]) -> None:
    answer = alice.post(f"/runs/{runs[6]}/cancel", follow_redirects=False)
    assert answer.status_code == 303
    page = alice.get(f"/runs/{runs[6]}").text
    assert "alice cancelled it at the page" in page
    again = alice.post(f"/runs/{runs[6]}/cancel")
    assert again.status_code == 422
    assert "there is nothing to cancel" in again.text


def test_questions_that_cannot_be_asked_stay_there(alice: TestClient, runs: list[str]) -> None:
    answer = alice.post(f"/runs/{runs[1]}/ask", data={"questions": "98+58=", "temperature": "hot"})
    assert answer.status_code == 422
    assert "temperature: must be a number from 0 to 2" in answer.text
    assert "98+58=" in answer.text


def test_a_run_that_is_none_is_said_to_be_none(alice: TestClient) -> None:
    for address in (f"/runs/{uuid4()}", "/runs/nonsense", f"/runs/{uuid4()}/live"):
        answer = alice.get(address)
        assert answer.status_code == 404
        assert '<a href="/runs">the runs</a>' in answer.text


def test_the_newest_run_stands_in_the_list_of_methods(here: Service, alice: TestClient, runs: list[str]) -> None:
    newest = here.trainings.all(method="sft-team-02", limit=1)[0]
    assert f'href="/runs/{newest.run_id}"' in alice.get("/").text
    assert ALICE.name in alice.get("/").text
