"""Ten questions that an auditor asks, each answered by one command; and the audit commands' manners."""

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from domain.runs.training_run import RunRequest
from infra.service import Service
from tests.adapters.cli.conftest import Tmm
from tests.support.people import PROVENANCE


@pytest.fixture
def story(tmm: Tmm, commercial: None, installation: Service) -> dict[str, str]:
    """Methods come, change, are used and go; somebody without a licence tries to delete one."""
    assert tmm("add", "sft-support", "--from", "sft-demo").code == 0
    after_adding = datetime.now(UTC).isoformat()
    assert tmm("modify", "sft-support", "--description", "Our own").code == 0
    request = RunRequest.parse(
        {"method": "sft-support", "backend": "cuda", "base_model": "small-base", "dataset": "sft-demo"}
    )
    run_id, by = uuid4(), installation.user()
    installation.trainings.request(run_id, request, by=by)
    installation.trainings.start(run_id, PROVENANCE)
    installation.trainings.fail(run_id, "the loss is not finite")
    assert tmm("delete", "sft-support", "--yes").code == 0
    assert tmm("licence", "remove", by.entitlement.licence_id or "").code == 0
    assert tmm("delete", "sft-demo", "--yes").code == 3
    return {"run": str(run_id), "after_adding": after_adding, "me": by.name, "licence": by.entitlement.licence_id or ""}


def test_who_deleted_what_and_under_which_licence(tmm: Tmm, story: dict[str, str]) -> None:
    answer = tmm("audit", "--action", "delete", "--outcome", "done")
    assert f"{story['me']} deleted" in answer.out
    assert f"under licence {story['licence']} from the command line" in answer.out


def test_what_was_refused_today_and_why(tmm: Tmm, story: dict[str, str]) -> None:
    today = datetime.now(UTC).date().isoformat()
    (line,) = tmm("audit", "--outcome", "refused", "--since", today, "--format", "jsonl").out.splitlines()
    entry = json.loads(line)
    assert (entry["action"], entry["subject_name"]) == ("delete", "sft-demo")
    assert "commercial users only" in entry["reason"]
    assert f"from the command line: {entry['reason']}" in tmm("audit", "--outcome", "refused").out


def test_what_was_selectable_at_a_moment(tmm: Tmm, story: dict[str, str]) -> None:
    then = {method["internal_name"] for method in tmm("list", "--as-of", story["after_adding"], "--json").document}
    now = {method["internal_name"] for method in tmm("list", "--json").document}
    assert then - now == {"sft-support"}
    assert tmm("list", "--as-of", "2020-01-01").out == ""


def test_which_runs_used_a_methods_second_version(tmm: Tmm, story: dict[str, str]) -> None:
    document = tmm("runs", "--method", "sft-support", "--method-version", "2", "--json").document
    assert [run["run_id"] for run in document] == [story["run"]]
    assert tmm("runs", "--method", "sft-support", "--method-version", "1", "--json").document == []


def test_what_became_of_a_run(tmm: Tmm, story: dict[str, str]) -> None:
    lines = tmm("audit", "--run", story["run"], "--after", "0", "--format", "jsonl").out.splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["request", "start", "fail"]
    assert {json.loads(line)["correlation_id"] for line in lines} == {story["run"]}


def test_why_a_method_cannot_be_chosen(tmm: Tmm, story: dict[str, str]) -> None:
    answer = tmm("audit", "why", "sft-support")
    assert answer.out.startswith(f"sft-support is not selectable: {story['me']} deleted ")
    assert tmm("audit", "why", "sft-demo").out.startswith("sft-demo is selectable: installer preinstalled SFT-Demo")
    assert "The newest attempt that was refused" in tmm("audit", "why", "sft-demo").out
    assert tmm("audit", "why", "nothing").code == 4


def test_what_changed_in_a_method_field_by_field(tmm: Tmm, story: dict[str, str]) -> None:
    answer = tmm("show", "sft-support", "--history")
    assert "-> Our own" in answer.out
    assert [entry["action"] for entry in tmm("show", "sft-support", "--history", "--json").document] == [
        "add",
        "modify",
        "delete",
    ]


def test_how_much_each_user_did(tmm: Tmm, story: dict[str, str]) -> None:
    counts = {row["actor"]: row["entries"] for row in tmm("audit", "count", "--by", "actor", "--json").document}
    assert counts == {"installer": 5, story["me"]: 10}


def test_which_licences_came_and_went(tmm: Tmm, story: dict[str, str]) -> None:
    lines = tmm("audit", "--text", "licence Acme", "--format", "jsonl").out.splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["install-licence"]
    assert tmm("audit", "--action", "remove-licence").out.count("\n") == 2


def test_whether_the_log_is_what_it_was(tmm: Tmm, story: dict[str, str], here: Path) -> None:
    assert tmm("audit", "export", "log.csv", "--format", "csv").code == 0
    assert tmm("audit", "verify").out.startswith("The log is what it was: 17 entries")
    assert tmm("audit", "verify", "--export", "log.csv").out.startswith("true: 15 entries")
    Path("log.csv").write_text(Path("log.csv").read_text().replace("refused", "done", 1))
    false = tmm("audit", "verify", "--export", "log.csv")
    assert (false.code, "is false" in false.sentence) == (6, True)


@pytest.mark.parametrize(
    ("action", "name", "code", "words"),
    [
        ("add", "sft-new", 3, "No: .* may not add a training method: this is for commercial users only"),
        ("add", "Not A Name", 3, "No: .* may not add a training method: this is for commercial users only"),
        ("delete", "sft-demo", 3, "No: .* may not delete SFT-Demo"),
        ("delete", "nothing", 4, "No: There is no training method 'nothing'"),
        ("modify", "sft-demo", 3, "No: .* may not modify SFT-Demo"),
        ("modify", "custom01", 0, "Yes: .* may modify custom01"),
    ],
)
def test_tmm_can_says_beforehand_what_would_happen(tmm: Tmm, action: str, name: str, code: int, words: str) -> None:
    import re

    entries = tmm("audit", "--format", "jsonl").out
    answer = tmm("can", action, name)
    assert (answer.code, bool(re.match(words, answer.out))) == (code, True)
    assert tmm("audit", "--format", "jsonl").out == entries


def test_with_a_licence_tmm_can_says_yes(tmm: Tmm, commercial: None) -> None:
    assert tmm("can", "add", "sft-new").code == 0
    assert tmm("can", "delete", "sft-demo").code == 0
    assert tmm("can", "add", "sft-demo").code == 2
    assert "internal_name: must be 2 to 63 lower-case letters" in tmm("can", "add", "Not A Name").out


def test_pages_go_on_where_they_ended(tmm: Tmm) -> None:
    page = tmm("audit", "--limit", "2", "--newest-first", "--format", "jsonl")
    assert [json.loads(line)["position"] for line in page.out.splitlines()] == [5, 4]
    assert page.err.strip() == "There are more. Go on with: --newest-first --after 4"
    page = tmm("audit", "--limit", "3", "--newest-first", "--after", "4", "--format", "jsonl")
    assert [json.loads(line)["position"] for line in page.out.splitlines()] == [3, 2, 1]
    assert page.err == ""


def test_entries_are_cloud_events_and_csv_on_demand(tmm: Tmm) -> None:
    batch = tmm("audit", "--format", "cloudevents").document
    assert {event["type"] for event in batch} == {"audit.method.preinstall"}
    head, *rows = tmm("audit", "--format", "csv").out.splitlines()
    assert head.startswith("position,occurred_at,recorded_at,actor")
    assert len(rows) == 5
    UUID(json.loads(tmm("audit", "--format", "jsonl", "--limit", "1").out)["command_id"])


def test_conditions_stand_behind_the_command_that_they_are_for(tmm: Tmm) -> None:
    answer = tmm("audit", "--actor", "alice", "count", "--by", "action")
    assert (answer.code, "Conditions stand behind the command" in answer.sentence) == (2, True)
