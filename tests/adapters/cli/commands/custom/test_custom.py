"""`tmm custom` and `tmm check`: what does not need a training. The developer guide's test goes the whole way."""

import json
import shutil
from pathlib import Path

import pytest

from adapters.custom_code.workshop import Workshop
from domain.catalogue.method_spec import MethodCode
from infra.service import Service
from tests.adapters.cli.conftest import Answer, Tmm

METHOD = """
from pydantic import BaseModel, Field
from domain.training import changes

class Options(BaseModel):
    warp: float = Field(1.0, ge=0.0, le=9.0, description="How fast", json_schema_extra=changes("weights"))

def train(job, options, progress):
    raise ValueError("not today")
"""


@pytest.fixture
def proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check was passed before: what these tests look at comes after it."""
    monkeypatch.setattr(Workshop, "was_checked", lambda *_, **__: True)


def saved(tmm: Tmm, here: Path, text: str = METHOD, name: str = "custom01") -> None:
    (here / name).mkdir(exist_ok=True)
    (here / name / "method.py").write_text(text)
    answer = tmm("custom", "save", name)
    assert answer.code == 0, answer.err


@pytest.mark.parametrize("name", ["custom01", "custom02"])
@pytest.mark.parametrize("backend", ["cuda", "mlx"])
def test_a_template_becomes_a_folder_to_edit(tmm: Tmm, here: Path, name: str, backend: str) -> None:
    answer = tmm("custom", "new", name, "--backend", backend)
    assert answer.code == 0, answer.err
    assert sorted(path.name for path in (here / name).iterdir()) == [
        "README.md",
        "method.py",
        "method.yaml",
        "test_method.py",
    ]
    assert f"backends: [{backend}]" in (here / name / "method.yaml").read_text()
    assert ("mlx" in (here / name / "method.py").read_text()) == (backend == "mlx")
    assert f"tmm custom save {name} --from {name}" in answer.out


def test_a_copy_for_another_method_bears_its_name(tmm: Tmm, here: Path) -> None:
    assert tmm("custom", "new", "custom02", "--template", "custom01", "--to", "mine").code == 0
    text = (here / "mine" / "method.yaml").read_text()
    assert "internal_name: custom02\n" in text
    assert "display_name: Custom02\n" in text


def test_nothing_is_overwritten(tmm: Tmm, here: Path) -> None:
    assert tmm("custom", "new", "custom01").code == 0
    (here / "custom01" / "method.py").write_text("mine")
    assert "is there already, and nothing is overwritten" in tmm("custom", "new", "custom01").sentence
    assert (here / "custom01" / "method.py").read_text() == "mine"


@pytest.mark.usefixtures("proven")
def test_saved_code_is_what_the_method_offers_and_trains_with(tmm: Tmm, here: Path, installation: Service) -> None:
    saved(tmm, here)
    shown = next(m for m in tmm("list", "--json").document if m["internal_name"] == "custom01")
    assert shown["trainer"] == "custom"
    assert [option["name"] for option in shown["configuration_options"]] == ["warp"]
    code = installation.catalogue.method("custom01").spec.code
    assert isinstance(code, MethodCode)
    assert tmm("custom", "show", "custom01").out.count("not today") == 1
    entry = installation.auditing.entries()[-1]
    assert (entry.action, entry.subject_name) == ("modify", "custom01")
    assert code.hash in str(entry.changes)


@pytest.mark.usefixtures("proven")
def test_saving_the_same_code_again_changes_nothing(tmm: Tmm, here: Path) -> None:
    saved(tmm, here)
    assert "trains with this code already" in tmm("custom", "save", "custom01").out


@pytest.mark.usefixtures("proven")
def test_versions_are_listed_compared_and_put_back(tmm: Tmm, here: Path) -> None:
    saved(tmm, here)
    saved(tmm, here, METHOD.replace("not today", "not tomorrow"))
    listed = tmm("custom", "versions", "custom01", "--json").document
    assert [version["trainer"] for version in listed] == ["sft", "custom", "custom"]
    compared = tmm("custom", "diff", "custom01", "--version", "2", "--with", "3").out
    assert '-    raise ValueError("not today")' in compared
    assert '+    raise ValueError("not tomorrow")' in compared
    assert "They are the same." in tmm("custom", "diff", "custom01").err
    assert tmm("custom", "restore", "custom01", "2").code == 0
    assert "not today" in tmm("custom", "show", "custom01").out
    assert tmm("custom", "restore", "custom01", "1").code == 0
    assert next(m for m in tmm("list", "--json").document if m["internal_name"] == "custom01")["trainer"] == "sft"
    assert "has no code of its own" in tmm("custom", "show", "custom01").sentence
    assert tmm("custom", "restore", "custom01", listed[1]["code"][:12], "--to", "again").code == 0
    assert (here / "again" / "method.py").read_text() == METHOD
    assert "has no version 99" in tmm("custom", "restore", "custom01", "99").sentence


@pytest.mark.usefixtures("proven")
def test_other_methods_take_code_from_commercial_users_only(tmm: Tmm, here: Path, installation: Service) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "method.py").write_text(METHOD)
    for args in (("custom", "save", "sft-demo", "--from", "mine"), ("add", "mine", "--code", "mine")):
        answer = tmm(*args)
        assert answer.code == 3
        assert "custom01 and custom02" in answer.sentence
        assert installation.auditing.entries()[-1].outcome == "refused"


def test_what_only_commercial_users_may_change_of_a_template_is_refused_before_its_code_is_tried_or_kept(
    tmm: Tmm, here: Path, installation: Service
) -> None:
    (here / "custom01").mkdir()
    (here / "custom01" / "method.py").write_text(METHOD)
    (here / "custom01" / "method.yaml").write_text("method_type: GRPO\n")
    answer = tmm("custom", "save", "custom01")
    assert (answer.code, "may not change method_type of Custom01" in answer.sentence) == (3, True)
    assert [entry.outcome for entry in installation.auditing.entries()[-1:]] == ["refused"]
    assert not Path(installation.settings.artifacts).exists()


@pytest.mark.usefixtures("proven", "commercial")
def test_a_commercial_user_adds_a_method_with_its_code(tmm: Tmm, here: Path) -> None:
    assert tmm("custom", "new", "custom01", "--to", "mine").code == 0
    (here / "mine" / "method.py").write_text(METHOD)
    answer = tmm("add", "mine", "--code", "mine", "--display-name", "Mine", "--backend", "mlx")
    assert answer.code == 0, answer.err
    added = next(m for m in tmm("list", "--json").document if m["internal_name"] == "mine")
    assert (added["trainer"], added["backends"], added["display_name"]) == ("custom", ["mlx"], "Mine")


@pytest.mark.usefixtures("proven")
@pytest.mark.parametrize(
    ("files", "code", "words"),
    [
        ({}, 2, "has no method.py"),
        ({"method.py": "def train(:"}, 6, "SyntaxError: invalid syntax (method.py, line 1)"),
        ({"method.py": METHOD, "method.yaml": "trainer: sft\n"}, 2, "trainer cannot be given here"),
        ({"method.py": METHOD, "method.yaml": "backends: [tpu]\n"}, 2, "backends must be a list of cuda and mlx"),
        ({"method.py": METHOD, "method.yaml": "internal_name: other\n"}, 2, "but you named 'custom01'"),
        ({"method.py": METHOD, "method.yaml": "colour: red\n"}, 2, "method.yaml: line 1, colour: is not a field"),
        ({"method.py": METHOD.replace("float", "list")}, 6, "Options.warp: an option is a bool, int, float, str"),
    ],
)
def test_what_cannot_be_saved_is_said_and_changes_nothing(
    tmm: Tmm, here: Path, files: dict[str, str], code: int, words: str
) -> None:
    (here / "custom01").mkdir()
    for name, text in files.items():
        (here / "custom01" / name).write_text(text)
    before = tmm("list", "--json").document
    answer = tmm("custom", "save", "custom01")
    assert answer.code == code
    assert words in answer.err
    assert tmm("list", "--json").document == before


def test_code_that_breaks_the_contract_is_not_saved_and_with_force_only_kept(tmm: Tmm, here: Path) -> None:
    (here / "custom01").mkdir()
    (here / "custom01" / "method.py").write_text(METHOD)
    before = tmm("list", "--json").document
    tried = tmm("check", "custom01", "--backend", "cuda")
    assert tried.code == 6
    assert "--  it trains: ValueError: not today (method.py, line 9, in train)" in tried.out
    refused = tmm("custom", "save", "custom01")
    assert refused.code == 6
    assert "breaks 1 claim of the contract (it trains), so it was not saved" in refused.err
    kept = tmm("custom", "save", "custom01", "--force")
    assert kept.code == 0
    assert "which is not selectable: custom01 trains as before" in kept.out
    assert tmm("list", "--json").document == before
    present, aside = tmm("custom", "versions", "custom01", "--json").document
    assert (present["version"], present["trainer"], present["breaks"]) == (1, "sft", [])
    assert (aside["version"], aside["breaks"]) == (None, ["it trains"])
    assert (
        f"the code {aside['code'][:12]}, not selectable (broken: it trains)"
        in tmm("custom", "versions", "custom01").out
    )


def test_code_that_was_only_kept_is_shown_compared_and_brought_back_but_not_put_in_place(
    tmm: Tmm, here: Path, installation: Service
) -> None:
    (here / "custom01").mkdir()
    for text in ("def train(:", METHOD.replace("not today", "not yet")):
        (here / "custom01" / "method.py").write_text(text)
        assert tmm("custom", "save", "custom01", "--force").code == 0
    first, second = (version["code"] for version in tmm("custom", "versions", "custom01", "--json").document[1:])
    assert "def train(:" in tmm("custom", "show", "custom01", "--version", first[:12]).out
    compared = tmm("custom", "diff", "custom01", "--version", first[:12], "--with", second[:12]).out
    assert "-def train(:" in compared
    assert '+    raise ValueError("not yet")' in compared
    refused = tmm("custom", "restore", "custom01", second[:12])
    assert refused.code == 2
    assert f"tmm custom restore custom01 {second[:12]} --to FOLDER" in refused.sentence
    assert installation.catalogue.method("custom01").spec.code is None
    assert tmm("custom", "restore", "custom01", second, "--to", "again").code == 0
    assert "not yet" in (here / "again" / "method.py").read_text()
    assert "nothing is overwritten" in tmm("custom", "restore", "custom01", second, "--to", "again").sentence
    assert "has no version abcdef" in tmm("custom", "show", "custom01", "--version", "abcdef").sentence


def test_a_folder_without_code_is_said_to_have_none(tmm: Tmm, here: Path) -> None:
    assert "has no method.py" in tmm("check", ".").sentence


def test_an_error_in_the_foreground_shows_its_traceback(tmm: Tmm, here: Path) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "method.py").write_text(METHOD)
    answer = tmm("custom", "run", "mine")
    assert answer.code == 6
    assert 'raise ValueError("not today")' in answer.err


@pytest.mark.usefixtures("proven")
def test_whoever_may_add_nothing_leaves_nothing_and_runs_nothing(tmm: Tmm, here: Path, installation: Service) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "method.py").write_text(f"open({str(here / 'ran')!r}, 'w').close()\n" + METHOD)
    before = files_below(Path(installation.settings.artifacts))
    answer = tmm("add", "mine", "--code", "mine")
    assert answer.code == 3
    assert files_below(Path(installation.settings.artifacts)) == before
    assert not (here / "ran").exists()
    refused = installation.auditing.entries()[-1]
    assert (refused.outcome, refused.action, refused.subject_name) == ("refused", "add", "mine")


@pytest.mark.usefixtures("proven")
def test_code_that_is_only_named_by_its_hash_is_refused_unless_it_was_checked(
    tmm: Tmm, here: Path, installation: Service
) -> None:
    saved(tmm, here)
    checked = installation.catalogue.method("custom01").spec.code
    assert checked is not None
    (here / "other").mkdir()
    (here / "other" / "method.py").write_text(METHOD.replace("not today", "not yet"))
    aside = installation.workshop.keep_aside("custom02", here / "other", broken=["it trains"], by="alice")

    def given(**other: object) -> Answer:
        fields = {"code": checked.model_dump(mode="json") | other, "trainer": "custom", "configuration_options": []}
        (here / "method.yaml").write_text(json.dumps(fields | {"backends": list(checked.backends)}))
        return tmm("modify", "custom02", "--file", "method.yaml")

    before = tmm("list", "--json").document
    for other, words in (
        ({"hash": "ab" * 32}, "is not in the artifact store"),
        ({"hash": aside.hash}, "was not saved through the check"),
        ({"backends": ["cuda", "mlx"]}, "was not saved through the check"),
        ({"options": []}, "was not saved through the check"),
    ):
        answer = given(**other)
        assert answer.code == 2
        assert words in answer.sentence
        assert "tmm custom save" in answer.sentence
    assert tmm("list", "--json").document == before
    assert given().code == 0  # the very code that was checked
    assert tmm("modify", "custom02", "--display-name", "Ours").code == 0


@pytest.mark.usefixtures("proven")
def test_code_that_a_method_trained_with_before_is_put_back_without_a_note(
    tmm: Tmm, here: Path, installation: Service
) -> None:
    saved(tmm, here)
    shutil.rmtree(Path(installation.settings.artifacts) / "code" / "checked")  # as it was before there were any
    assert tmm("modify", "custom01", "--display-name", "Ours").code == 0
    assert tmm("custom", "restore", "custom01", "1").code == 0
    assert tmm("custom", "restore", "custom01", "2").code == 0


def files_below(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))
