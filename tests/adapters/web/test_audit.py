"""The audit log's pages."""

import csv
import io
import json

import pytest
from fastapi.testclient import TestClient

from infra.service import Service
from tests.adapters.web.filling import fill
from tests.support.people import ALICE


@pytest.fixture(autouse=True)
def filled(here: Service) -> None:
    fill(here, methods=3, runs=40)


def test_filters_stand_in_the_address_and_in_the_form(alice: TestClient) -> None:
    page = alice.get("/audit?actor=bob&action=request").text
    assert "bob requested a training" in page
    assert "alice requested" not in page
    assert 'name="actor" value="bob"' in page
    assert "/audit/counts?actor=bob&amp;action=request" in page


def test_pages_go_back_to_the_first_entry(alice: TestClient) -> None:
    page = alice.get("/audit").text
    assert "Older" in page
    assert '<span class="position">1</span>' in alice.get("/audit?after=20").text


def test_a_condition_that_is_none_is_told_and_kept(alice: TestClient) -> None:
    answer = alice.get("/audit?since=yesterday&actor=bob")
    assert answer.status_code == 422
    assert "since: must be a day such as 2026-11-30" in answer.text
    assert 'value="yesterday"' in answer.text
    assert alice.get("/audit?since=2026-11-30&until=2099-01-01").status_code == 200
    assert alice.get("/audit?run=nonsense").status_code == 422
    assert alice.get("/audit?after=x").status_code == 422


def test_entries_are_counted_by_two_facts(alice: TestClient) -> None:
    page = alice.get("/audit/counts?by=actor&across=action").text
    for words in ("alice", "bob", "request", "complete", 'href="/audit?actor=bob"'):
        assert words in page
    assert alice.get("/audit/counts?by=nonsense&across=nonsense").status_code == 200


def test_why_a_method_can_or_cannot_be_chosen(alice: TestClient) -> None:
    assert "can be chosen, because:" in alice.get("/audit/why?method=sft-team-00").text
    alice.post("/methods/sft-team-00/delete")
    assert "cannot be chosen, because:" in alice.get("/audit/why?method=sft-team-00").text
    assert alice.get("/audit/why?method=never-there").status_code == 404


def test_what_fits_is_exported_whole(alice: TestClient) -> None:
    lines = alice.get("/audit/export?actor=bob&form=jsonl").text.splitlines()
    assert {json.loads(line)["actor"] for line in lines} == {"bob"}
    rows = list(csv.reader(io.StringIO(alice.get("/audit/export?actor=bob&form=csv").text)))
    assert rows[0][:2] == ["position", "occurred_at"]
    assert len(rows) == len(lines) + 1
    assert alice.get("/audit/export?since=yesterday").status_code == 422


def test_the_page_says_up_to_where_the_log_is_signed(here: Service, alice: TestClient) -> None:
    assert "none of them signed yet" in alice.get("/audit").text
    checkpoint, _ = here.proof.make_checkpoint(by=ALICE)
    assert f"signed up to entry {checkpoint.position}" in alice.get("/audit").text
