"""The catalogue at the command line: what is shown, what is changed, and what is refused how."""

import json
from pathlib import Path

import pytest

from domain.audit.read_models import AuditQuery
from infra.service import Service
from tests.adapters.cli.conftest import Tmm

SUPPORT = """\
internal_name: sft-support
display_name: SFT Support
method_type: SFT
description: Supervised fine-tuning with our support team's defaults.
trainer: sft
backends: [cuda]
configuration_options:
  - {name: learning_rate, type: number, default: 2e-5, minimum: 1.0e-7, maximum: 1e-2, description: AdamW step size}
"""


def names(tmm: Tmm, *filters: str) -> list[str]:
    return [method["internal_name"] for method in tmm("list", "--json", *filters).document]


# Looking.


def test_the_list_shows_what_can_be_chosen(tmm: Tmm) -> None:
    answer = tmm("list")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0].split() == ["NAME", "DISPLAY", "NAME", "TYPE", "BACKENDS", "DESCRIPTION"]
    assert [line.split()[0] for line in lines[1:]] == ["custom01", "custom02", "grpo-demo", "mlx-demo", "sft-demo"]


def test_the_lists_document_has_the_promised_fields(tmm: Tmm) -> None:
    for method in tmm("list", "--json").document:
        promised = "internal_name display_name method_type description trainer backends configuration_options"
        assert set(method) == {*promised.split(), "preinstalled", "version"}


def test_the_list_can_be_narrowed(tmm: Tmm) -> None:
    assert names(tmm, "--backend", "mlx") == ["mlx-demo"]
    assert names(tmm, "--type", "grpo") == ["grpo-demo"]
    nothing = tmm("list", "--backend", "mlx", "--type", "PPO")
    assert (nothing.code, nothing.out) == (0, "")
    assert "List all of them with: tmm list" in nothing.err


def test_one_method_is_shown_with_its_options_limits_and_history(tmm: Tmm) -> None:
    answer = tmm("show", "sft-demo")
    assert answer.code == 0
    for words in ("SFT-Demo", "learning_rate", "1e-07 to 0.1", "installer preinstalled SFT-Demo", "tmm train sft-demo"):
        assert words in answer.out
    document = tmm("show", "sft-demo", "--json").document
    assert document["default_dataset"] == "sft-demo"
    assert [entry["action"] for entry in document["history"]] == ["preinstall"]
    assert document["runs"] == []


# Refusals.


@pytest.mark.parametrize(
    ("args", "action"),
    [
        (("add", "mine", "--from", "sft-demo"), "add"),
        (("delete", "sft-demo", "--yes"), "delete"),
        (("delete", "custom01", "--yes"), "delete"),
        (("modify", "sft-demo", "--display-name", "Mine"), "modify"),
        (("modify", "custom01", "--type", "SFT"), "modify"),
        (("modify", "custom01", "--trainer", "grpo"), "modify"),
    ],
)
def test_a_noncommercial_user_is_refused_helpfully_and_on_the_record(
    tmm: Tmm, installation: Service, args: tuple[str, ...], action: str
) -> None:
    before = tmm("list", "--json").document
    answer = tmm(*args)
    assert answer.code == 3
    assert "for commercial users only, and no licence is installed" in answer.sentence
    assert "custom01 and custom02" in answer.sentence
    assert tmm("list", "--json").document == before
    entry = installation.auditing.entries()[-1]
    assert (entry.action, entry.outcome, entry.subject_name) == (action, "refused", args[1])
    assert entry.reason == answer.sentence


@pytest.mark.parametrize(
    ("args", "action"),
    [
        (("add", "--file", "broken.yaml"), "add"),
        (("add", "--file", "nope.yaml"), "add"),
        (("add", "Not A Name", "--from", "sft-demo"), "add"),
        (("add", "mine", "--from", "gone"), "add"),
        (("add", "mine", "--from", "sft-demo", "--option", "nope"), "add"),
        (("add", "mine", "--code", "nowhere"), "add"),
        (("modify", "sft-demo", "--file", "broken.yaml"), "modify"),
        (("modify", "sft-demo", "--option", "nope"), "modify"),
        (("modify", "sft-demo", "--display-name", "x" * 81), "modify"),
        (("modify", "custom01", "--file", "broken.yaml"), "modify"),
        (("modify", "custom01", "--file", "typed.yaml"), "modify"),
        (("modify", "custom01", "--type", "GRPO", "--option", "nope"), "modify"),
        (("custom", "save", "sft-demo", "--from", "nowhere"), "modify"),
        (("can", "add", "Not A Name"), None),
    ],
)
def test_whoever_may_not_hears_that_before_what_is_wrong_with_the_values(
    tmm: Tmm, installation: Service, here: Path, args: tuple[str, ...], action: str | None
) -> None:
    no_yaml = "" if "custom01" in args else "trainer: [\n"
    (here / "broken.yaml").write_text(f"method_type: 5\ndescription: 7\n{no_yaml}")
    (here / "typed.yaml").write_text("backends: [abacus]\n")
    answer = tmm(*args)
    assert answer.code == 3, answer.err
    assert "for commercial users only" in answer.out + answer.err
    entries = installation.auditing.entries(AuditQuery(outcome="refused"))
    assert [entry.action for entry in entries] == ([action] if action else [])


@pytest.mark.parametrize(
    "args",
    [
        ("modify", "custom01", "--description", "x" * 2001),
        ("modify", "custom01", "--option", "nope"),
        ("modify", "custom01", "--file", "shaped.yaml"),
    ],
)
def test_what_everyone_may_shape_is_judged_by_its_values(
    tmm: Tmm, installation: Service, here: Path, args: tuple[str, ...]
) -> None:
    (here / "shaped.yaml").write_text("internal_name: custom01\ndescription: 7\n")
    answer = tmm(*args)
    assert answer.code == 2, answer.err
    assert "shaped.yaml" not in args or "line 2, description" in answer.sentence
    assert installation.auditing.entries(AuditQuery(outcome="refused")) == []


def test_nobody_is_asked_whether_to_delete_what_they_may_not_delete(tmm: Tmm) -> None:
    assert tmm("delete", "sft-demo").code == 3


def test_everyone_may_shape_the_templates(tmm: Tmm) -> None:
    answer = tmm("modify", "custom01", "--display-name", "Our tone", "--option", "max_steps=7")
    assert answer.code == 0
    assert answer.out == "Modified display_name, configuration_options of Our tone (custom01).\n"
    shaped = next(m for m in tmm("list", "--json").document if m["internal_name"] == "custom01")
    assert next(o for o in shaped["configuration_options"] if o["name"] == "max_steps")["default"] == 7


def test_a_change_that_changes_nothing_says_so(tmm: Tmm) -> None:
    answer = tmm("modify", "custom01", "--display-name", "Custom01")
    assert (answer.code, answer.out) == (0, "Custom01 (custom01) is already like this; nothing was changed.\n")


# What commercial users do.


@pytest.mark.usefixtures("commercial")
def test_a_method_is_added_from_another_used_and_deleted(tmm: Tmm) -> None:
    added = tmm("add", "sft-support", "--from", "sft-demo", "--display-name", "SFT Support")
    assert (added.code, added.out) == (0, "Added SFT Support (sft-support). Train with it: tmm train sft-support\n")
    assert "sft-support" in names(tmm)
    deleted = tmm("delete", "sft-support", "--yes")
    assert (deleted.code, deleted.out) == (0, "Deleted SFT Support (sft-support). It can no longer be chosen.\n")
    assert "to be cancelled" in deleted.err
    assert "sft-support" not in names(tmm)
    assert tmm("train", "sft-support").code == 4
    assert "was deleted" in tmm("show", "sft-support").sentence
    assert tmm("delete", "sft-support", "--yes").code == 4


@pytest.mark.usefixtures("commercial")
def test_a_method_is_added_from_a_file(tmm: Tmm, here: Path) -> None:
    (here / "support.yaml").write_text(SUPPORT)
    assert tmm("add", "--file", "support.yaml").code == 0
    added = next(m for m in tmm("list", "--json").document if m["internal_name"] == "sft-support")
    assert added["configuration_options"][0] == {
        "name": "learning_rate",
        "type": "number",
        "default": 2e-5,
        "minimum": 1e-7,
        "maximum": 1e-2,
        "description": "AdamW step size",
    }
    assert "already exists" in tmm("add", "--file", "support.yaml").sentence


@pytest.mark.usefixtures("commercial")
def test_a_method_is_added_from_single_fields(tmm: Tmm) -> None:
    fields = ("--type", "sft", "--trainer", "sft", "--backend", "cuda", "--description", "For our support team")
    option = "learning_rate:number=2e-5,minimum=1e-7,maximum=1e-2,description=AdamW step size, at its highest"
    assert tmm("add", "sft-support", *fields, "--option", option).code == 0
    shown = tmm("show", "sft-support", "--json").document
    assert shown["configuration_options"][0]["description"] == "AdamW step size, at its highest"


@pytest.mark.usefixtures("commercial")
def test_deleting_asks_first_and_where_nobody_can_answer_wants_to_be_told(tmm: Tmm) -> None:
    answer = tmm("delete", "sft-demo")
    assert answer.code == 2
    assert "tmm delete sft-demo --yes" in answer.err
    assert "sft-demo" in names(tmm)


# Wrong input.


@pytest.mark.usefixtures("commercial")
@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("add", "Sft", "--from", "sft-demo"), "internal_name: must be 2 to 63 lower-case letters"),
        (("add", "mine", "--from", "sft-demo", "--display-name", "x" * 81), "display_name: must have 1 to 80"),
        (("add", "mine", "--from", "sft-demo", "--trainer", "nope"), "there is no trainer 'nope'"),
        (("add", "mine", "--from", "sft-demo", "--backend", "mlx"), "trainer 'sft' does not run on mlx"),
        (("add", "mine", "--from", "sft-demo", "--option", "warp:number=1"), "'warp' is not declared"),
        (("add", "mine", "--from", "sft-demo", "--option", "max_steps=0"), "'max_steps' must be at least 1"),
        (("add", "mine", "--from", "sft-demo", "--option", "nope"), "--option 'nope' must read NAME:TYPE=DEFAULT"),
        (("add", "mine"), "Give --trainer"),
        (("add",), "Name the new method"),
        (("add", "sft-demo", "--from", "sft-demo"), "already exists"),
        (("modify", "custom01"), "Say what to change"),
        (("modify", "custom01", "--remove-option", "nope"), "'nope' cannot be removed"),
        (("list", "--backend", "tpu"), "'tpu' is not one of cuda, mlx"),
        (("lst",), "Did you mean"),
        (("runs", "show", "abc"), "too short"),
    ],
)
def test_wrong_input_ends_with_2_and_says_what_is_wrong(tmm: Tmm, args: tuple[str, ...], words: str) -> None:
    before = tmm("list", "--json").document
    answer = tmm(*args)
    assert answer.code == 2
    assert words in answer.sentence
    assert tmm("list", "--json").document == before


def test_what_there_is_not_ends_with_4(tmm: Tmm) -> None:
    for args in (
        ("show", "nope"),
        ("delete", "nope", "--yes"),
        ("modify", "nope", "--display-name", "x"),
        ("train", "nope"),
        ("runs", "show", "c0ffee00-0000-4000-8000-000000000000"),
        ("cancel", "c0ffee00"),
        ("rerun", "c0ffee00"),
    ):
        answer = tmm(*args)
        assert answer.code == 4, args
        assert "List the ones there are with: tmm" in answer.sentence


def test_text_that_steers_a_terminal_is_shown_harmlessly(tmm: Tmm) -> None:
    assert tmm("modify", "custom01", "--display-name", "\x1b[31mred\x07\u202eder").code == 0
    for args in (("list",), ("show", "custom01"), ("audit",), ("modify", "custom01", "--description", "x")):
        answer = tmm(*args)
        assert answer.code == 0
        assert not {"\x1b", "\x07", "\u202e"} & set(answer.out + answer.err), args
    kept = next(m for m in tmm("list", "--json").document if m["internal_name"] == "custom01")
    assert kept["display_name"] == "\x1b[31mred\x07\u202eder"
    assert json.dumps(kept)


def test_an_argument_that_is_no_text_is_refused(tmm: Tmm) -> None:
    answer = tmm("show", "caf\udce9")
    assert answer.code == 2
    assert "is not UTF-8 text" in answer.sentence
