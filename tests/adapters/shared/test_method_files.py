"""Method files: plain YAML, and the file and line of whatever is wrong in one."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.shared.method_files import MethodFile
from domain.errors import InvalidMethod
from tests.adapters.cli.commands.methods.test_listing import SUPPORT
from tests.adapters.cli.conftest import Tmm, commercial, here, home, site, tmm

__all__ = ["commercial", "here", "home", "site", "tmm"]


def fields(here: Path, text: str) -> dict[str, object]:
    (here / "m.yaml").write_text(text)
    return MethodFile.read("m.yaml").fields


def test_numbers_and_words_mean_what_people_mean(here: Path) -> None:
    read = fields(here, "a: 2e-5\nb: 1_000\nc: on\nd: no\ne: true\nf: 010\ng: 2026-11-24\nh: ~\ni: .5\n")
    expected = {"a": 2e-5, "b": "1_000", "c": "on", "d": "no", "e": True, "f": 10, "g": "2026-11-24", "h": None}
    assert read == expected | {"i": 0.5}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "must hold fields such as"),
        (b"- a\n- b\n", "must hold fields such as"),
        (b"just text", "must hold fields such as"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"a: 1\na: 2\n", "line 2: 'a' is given twice"),
        (b"a: &x [1]\nb: *x\n", "line 2: aliases (* and &) are not used in method files"),
        (b"a: [1\n", "line 2"),
        (b"a: !!python/object/apply:os.system [id]\n", "line 1"),
        (b"a: \x07\n", "m.yaml"),
        (b"a: " + b"[" * 5000, "nested too deeply"),
        (b"a: " + b"1" * 5000, "a number too long"),
        (b"a: " + b"x" * 200_001, "larger than 200 kB"),
        (b"{a: 1}: 2\n", "line 1: a field's name must be a plain word"),
    ],
)
def test_what_is_no_method_file_is_said_with_its_line(here: Path, content: bytes, words: str) -> None:
    (here / "m.yaml").write_bytes(content)
    with pytest.raises(InvalidMethod) as refusal:
        MethodFile.read("m.yaml")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


@given(st.binary(max_size=120))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_whatever_raise_anything_else(here: Path, content: bytes) -> None:
    (here / "m.yaml").write_bytes(content)
    with suppress(InvalidMethod):
        MethodFile.read("m.yaml")


def test_a_folder_or_a_missing_file_is_said_to_be_none(here: Path) -> None:
    for name, words in ((".", "is a directory"), ("nope.yaml", "no such file")):
        with pytest.raises(InvalidMethod, match=words):
            MethodFile.read(name)


@pytest.mark.usefixtures("commercial")
def test_wrong_fields_are_told_with_file_and_line(tmm: Tmm, here: Path) -> None:
    wrong = SUPPORT.replace("backends: [cuda]", "backends: [tpu]").replace("method_type: SFT", "method_tipe: SFT")
    (here / "support.yaml").write_text(wrong)
    answer = tmm("add", "--file", "support.yaml")
    assert answer.code == 2
    assert answer.sentence.startswith("support.yaml: ")
    assert "line 3, method_tipe: is not a field of a training method" in answer.sentence
    assert "line 6, backends.0: must be one of" in answer.sentence
    assert "is missing" not in answer.sentence  # the type is the trainer's


@pytest.mark.usefixtures("commercial")
def test_a_method_file_comes_through_a_pipe(tmm: Tmm, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.write(write, SUPPORT.encode())
    os.close(write)
    with os.fdopen(read) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert tmm("add", "--file", "-").code == 0


@pytest.mark.usefixtures("commercial")
def test_name_and_file_must_not_contradict_each_other(tmm: Tmm, here: Path) -> None:
    (here / "support.yaml").write_text(SUPPORT)
    assert "but you named 'other'" in tmm("add", "other", "--file", "support.yaml").sentence


def test_a_file_shapes_a_template_and_fields_that_are_not_in_it_stay(tmm: Tmm, here: Path) -> None:
    (here / "c.yaml").write_text("display_name: Our tone\n")
    assert tmm("modify", "custom01", "--file", "c.yaml").code == 0
    shown = tmm("show", "custom01", "--json").document
    assert (shown["display_name"], shown["default_dataset"]) == ("Our tone", "sft-demo")
