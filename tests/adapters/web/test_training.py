"""The form that starts a training."""

from pathlib import Path

from fastapi.testclient import TestClient

from infra.service import Service

ROWS = b'{"prompt": "1+1=", "completion": "2"}\n{"prompt": "1+2=", "completion": "3"}\n' * 8
TYPED = {
    "base_model": "small-base",
    "dataset": "sft-demo",
    "backend": "cuda",
    "seed": "3",
    "queue": "batch",
    "set.max_steps": "20",
}


def test_the_form_has_the_methods_options_with_limits_and_defaults(alice: TestClient) -> None:
    page = alice.get("/methods/sft-demo/train").text
    assert 'name="set.learning_rate" value="0.0003"' in page
    assert "1e-07 to 0.1" in page
    assert 'name="dataset" value="sft-demo"' in page


def test_the_dry_runs_answer_stands_beside_the_form(alice: TestClient) -> None:
    answer = alice.post("/methods/sft-demo/train/plan", data=TYPED)
    assert "20 of 32 rows" in answer.text
    assert "<html" not in answer.text
    page = alice.post("/methods/sft-demo/train", data=TYPED).text  # without a script, the button looks
    assert "20 of 32 rows" in page
    assert 'value="20"' in page


def test_what_cannot_go_well_is_told_at_its_field(alice: TestClient) -> None:
    answer = alice.post("/methods/sft-demo/train", data={**TYPED, "set.max_steps": "0", "start": "1"})
    assert answer.status_code == 422
    assert 'id="wrong-option-max_steps"' in answer.text
    assert "must be at least 1, not 0" in answer.text
    page = alice.post("/methods/sft-demo/train", data={**TYPED, "dataset": "nowhere", "start": "1"}).text
    assert 'id="wrong-dataset"' in page
    assert 'value="nowhere"' in page
    page = alice.post("/methods/sft-demo/train", data={**TYPED, "seed": "x", "start": "1"}).text
    assert 'id="wrong-seed"' in page


def test_without_prefect_it_is_said_and_nothing_is_lost(alice: TestClient) -> None:
    answer = alice.post("/methods/sft-demo/train", data={**TYPED, "start": "1"})
    assert answer.status_code == 503
    assert "Prefect" in answer.text
    assert 'name="set.max_steps" value="20"' in answer.text


def test_an_uploaded_dataset_is_kept_once_and_named(here: Service, alice: TestClient) -> None:
    file = {"file": ("adding.jsonl", ROWS)}
    page = alice.post("/methods/sft-demo/train", data={**TYPED, "file_name": "adding"}, files=file).text
    assert 'name="dataset" value="adding.jsonl"' in page
    answer = alice.post("/data", data={"name": "again"}, files=file, follow_redirects=False)
    assert answer.status_code == 303
    folder = here.settings.datasets
    assert sorted(path.name for path in folder.iterdir()) == [".kept", "adding.jsonl", "again.jsonl"]
    assert len(list((folder / ".kept").iterdir())) == 1
    assert here.datasets.names()[:2] == ["adding.jsonl", "again.jsonl"]
    assert "16" in alice.get("/data/again.jsonl").text


def test_a_name_is_never_given_to_another_dataset(here: Service, alice: TestClient) -> None:
    alice.post("/data", data={"name": "adding"}, files={"file": ("adding.jsonl", ROWS)})
    answer = alice.post("/data", data={"name": "adding"}, files={"file": ("adding.jsonl", ROWS + ROWS)})
    assert answer.status_code == 422
    assert "another dataset is called adding.jsonl here" in answer.text


def test_a_file_that_is_no_dataset_is_not_kept(here: Service, alice: TestClient) -> None:
    for name, content in (("rows.jsonl", b'{"prompt": 1}\nno json\n'), ("rows.exe", ROWS), ("one.jsonl", ROWS[:40])):
        answer = alice.post("/data", data={"name": ""}, files={"file": (name, content)})
        assert answer.status_code == 422, name
    assert "row 2: this is not JSON" in alice.post("/data", files={"file": ("r.jsonl", b'{"a": 1}\nno\n')}).text
    assert not here.settings.datasets.exists()


def test_an_uploads_name_leads_out_of_no_folder(here: Service, alice: TestClient, tmp_path: Path) -> None:
    alice.post("/data", files={"file": ("../../../evil.jsonl", ROWS)})
    assert here.datasets.place_of("evil.jsonl") == here.settings.datasets / "evil.jsonl"
    answer = alice.post("/data", data={"name": "../evil"}, files={"file": ("rows.jsonl", ROWS)})
    assert answer.status_code == 422
    assert not list(tmp_path.glob("evil*"))
