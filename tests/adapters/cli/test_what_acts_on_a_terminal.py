"""Names, reasons and answers are other people's: nothing that any command prints of them acts on the terminal."""

import ast
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import click
import pytest

from adapters.cli.main_group import tmm as group
from domain.errors import CommercialUsersOnly
from domain.ports import Asked
from domain.printable import printable
from infra.service import Service
from infra.settings import CHECKOUT, Settings
from infra.trainings.models_of_runs import ModelsOfRuns
from tests.adapters.cli.conftest import Answer, Tmm
from tests.support.people import ALICE, PROVENANCE, request

WORD = "Zorro"
"""Stands wherever people can write what they like, and is replaced in the database by what acts."""

ACTS = "\x1b]0;owned\x07\x9b31m\rforged\u202etxt\u2066\u2028\u2029\u200f\x7f\n99999  FORGED\x1b[2J"
RUNS = {name: UUID(int=number) for number, name in enumerate(("failed", "completed", "cancelled", "waiting"), 1)}
# What is never printed as it is, whatever it is printed for. Line ends and tabs are layout.
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def must_act_on_nothing(answer: Answer, *, csv: bool = False) -> None:
    said = answer.out + answer.err
    if csv:
        said = said.replace("\r\n", "\n")  # the ends of CSV's rows
    found = ACTING.search(said)
    assert found is None, said[max(0, found.start() - 200) : found.end() + 50]
    assert not re.search(r"^99999  FORGED", said, re.MULTILINE), said


@pytest.fixture
def written(tmm: Tmm, commercial: None, site: Settings, tmp_path: Path) -> None:
    """A log in which everything that people can write acts on terminals, whatever is checked on the way in today."""
    about = ("--display-name", WORD, "--description", f"{WORD} {WORD}")
    assert tmm("add", "sft-support", "--from", "sft-demo", *about).code == 0
    assert tmm("modify", "sft-support", "--description", f"{WORD} again").code == 0
    assert tmm("delete", f"{WORD.lower()}", "--yes").code == 4
    with Service(site) as installation:
        service, by = installation, ALICE.model_copy(update={"name": WORD})
        for run_id in RUNS.values():
            asked = request("sft-support", base_model=WORD, dataset=WORD, output_name=WORD, columns=f"prompt={WORD}")
            service.trainings.request(run_id, asked, by=by)
        made_of = PROVENANCE.model_copy(update={"device": WORD, "machine": WORD, "packages": {WORD: WORD}})
        for name in ("failed", "completed"):
            service.trainings.start(RUNS[name], made_of)
        service.trainings.fail(RUNS["failed"], f"{WORD} went wrong")
        artifact = tmp_path / "artifact"
        artifact.mkdir()
        answer = {"said": ACTS, "right": None}
        (artifact / "answers.json").write_text(
            json.dumps([{"prompt": ACTS, "expected": ACTS, "before": answer, "after": answer}])
        )
        (artifact / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
        figures = {"loss": 0.5, WORD: 0.5}
        service.trainings.complete(
            RUNS["completed"],
            artifact=f"file://{artifact}",
            artifact_hash="e" * 64,
            steps=3,
            metrics=figures,
            before=figures,
            after=figures,
        )
        service.trainings.cancel(RUNS["cancelled"], f"{WORD} did not like it", by=by)
        refused = ALICE.model_copy(update={"name": f"{WORD} {WORD}"})
        service.commands.record_refused(
            CommercialUsersOnly(user=WORD, to=WORD, because=WORD),
            action="delete",
            name="sft-support",
            tried={WORD: WORD},
            by=refused,
        )
    with closing(sqlite3.connect(site.sqlite_file)) as database, database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        acts = json.dumps(ACTS)[1:-1].encode()
        for row, state in database.execute("SELECT rowid, state FROM stored_events").fetchall():
            changed = bytes(state).replace(WORD.encode(), acts)
            database.execute("UPDATE stored_events SET state = ? WHERE rowid = ?", (changed, row))
    tmm("rebuild")


def leaves(command: click.Command, context: click.Context, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that does something."""
    if not isinstance(command, click.Group):
        yield path
        return
    if path:
        yield path
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from leaves(inner, context, (*path, name))


EVERY = sorted(leaves(group, click.Context(group)))
FAILED, COMPLETED, CANCELLED, WAITING = (str(run_id) for run_id in RUNS.values())
USED: dict[tuple[str, ...], list[tuple[str, ...]]] = {
    ("list",): [(), ("--json",), ("--as-of", ACTS)],
    ("show",): [("sft-support",), ("sft-support", "--json"), ("sft-support", "--history"), (ACTS,)],
    ("add",): [(ACTS,), ("mine", "--from", "sft-support", "--display-name", "Mine"), ("mine", "--file", ACTS)],
    ("modify",): [("sft-support", "--option", ACTS), ("sft-support", "--description", "new")],
    ("delete",): [("sft-support",), (ACTS, "--yes")],
    ("can",): [("delete", "sft-support"), ("delete", ACTS)],
    ("custom",): [()],
    ("custom", "new"): [(ACTS,), ("custom01", "--to", ACTS)],
    ("custom", "run"): [(ACTS,)],
    ("custom", "show"): [("custom01",), ("sft-support",), ("custom01", "--version", ACTS)],
    ("custom", "diff"): [("custom01", "--folder", ACTS), ("sft-support",)],
    ("custom", "restore"): [("custom01", ACTS), ("sft-support", "1")],
    ("custom", "save"): [("custom01", "--from", ACTS), (ACTS,)],
    ("custom", "versions"): [("sft-support",), ("sft-support", "--json"), (ACTS,)],
    ("check",): [(ACTS,)],
    ("train",): [
        ("sft-support", "--dry-run"),
        (ACTS,),
        ("sft-support", "--base-model", ACTS, "--dry-run"),
        ("sft-support", "--set", ACTS),
        ("sft-support", "--dataset", ACTS, "--dry-run"),
    ],
    ("runs",): [(), ("--json",), ("--method", ACTS)],
    ("runs", "show"): [(run_id, *more) for run_id in (FAILED, COMPLETED, CANCELLED) for more in ((), ("--json",))],
    ("runs", "compare"): [(FAILED, COMPLETED), (FAILED, COMPLETED, "--json"), (FAILED, COMPLETED, "--svg", ACTS)],
    ("cancel",): [(WAITING,), (FAILED,), (ACTS,)],
    ("ask",): [(COMPLETED, ACTS), (COMPLETED, ACTS, "--json"), (ACTS, "?")],
    ("export",): [(COMPLETED, "--out", ACTS), (ACTS, "--out", "x")],
    ("measure",): [(COMPLETED,), (ACTS,)],
    ("resume",): [(FAILED,), (ACTS,)],
    ("rerun",): [(COMPLETED,), (ACTS,)],
    ("audit",): [
        (),
        ("--newest-first", "--limit", "3"),
        *(("--format", form) for form in ("table", "jsonl", "csv", "cloudevents")),
        *(("--after", "0", "--limit", "1", "--follow", "--format", form) for form in ("table", "jsonl", "csv")),
        ("--actor", ACTS),
    ],
    ("audit", "count"): [("--by", by) for by in ("actor", "action", "method", "licence", ACTS)],
    ("audit", "why"): [("sft-support",), (ACTS,)],
    ("audit", "verify"): [(), ("--export", ACTS)],
    ("audit", "checkpoint"): [()],
    ("audit", "accept-clock"): [()],
    ("audit", "export"): [(ACTS,), ("all.jsonl",)],
    ("token",): [()],
    ("token", "issue"): [
        ("--key", ACTS, "--for", ACTS, "delete", "{}"),
        ("--key", "keys/private.pem", "--for", ACTS, "delete", "{}"),
    ],
    ("token", "trust"): [(ACTS,)],
    ("licence",): [()],
    ("licence", "install"): [(ACTS,), ("acting.licence",)],
    ("licence", "issue"): [
        ("--key", "keys/private.pem", "--customer", ACTS, "--users", ACTS, "--days", "9", "--out", "acting.licence")
    ],
    ("licence", "keygen"): [("--out", ACTS)],
    ("licence", "remove"): [(ACTS,)],
    ("licence", "show"): [(), ("--json",)],
    ("licence", "trust"): [(ACTS,)],
    # What these start is started by the journeys; they print through the same functions.
    ("demo",): [(ACTS,)],
    ("env",): [()],
    ("up",): [("--backend", ACTS)],
    ("web",): [("--key",), ("--free", ACTS), ("--sign-out", ACTS)],
    ("worker",): [("--backend", ACTS)],
    ("pools",): [()],
    ("pools", "pause"): [(ACTS,), ("cuda", "--queue", ACTS)],
    ("pools", "resume"): [(ACTS,), ("cuda", "--queue", ACTS)],
    ("migrate",): [(), (ACTS,)],
    ("rebuild",): [()],
    ("doctor",): [(), ("--json",)],
}


def test_every_command_is_tried() -> None:
    assert sorted(USED) == EVERY


def test_nothing_that_any_command_prints_acts_on_the_terminal(
    tmm: Tmm, written: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelsOfRuns, "ask", lambda *_, **__: Asked(base=[ACTS], result=[ACTS], warning=ACTS))
    # The command's own clock alone: whoever waits for a child process sleeps too, and must not be interrupted.
    monkeypatch.setattr("adapters.cli.commands.audit.entries.time", SimpleNamespace(sleep=_interrupt))
    for path in ("licence", "issue"), ("licence", "install"), *USED:
        for args in USED[path]:
            answer = tmm(*path, *args)
            assert answer.out + answer.err, (path, args)
            must_act_on_nothing(answer, csv="csv" in args)
            if answer.code == 0 and {"--json", "cloudevents"} & {*args}:
                json.loads(answer.out)
        must_act_on_nothing(tmm(*path, f"--{ACTS}"))
        must_act_on_nothing(tmm(*path, f"--{ACTS}", "--debug"))


def _interrupt(_: float) -> None:
    raise KeyboardInterrupt


def test_json_says_exactly_what_was_written(tmm: Tmm, written: None) -> None:
    shown = next(m for m in tmm("list", "--json").document if m["internal_name"] == "sft-support")
    assert shown["display_name"] == ACTS
    lines = tmm("audit", "--format", "jsonl", "--limit", "1000").out.splitlines()
    assert any(ACTS in json.loads(line)["reason"] for line in lines if json.loads(line)["reason"])


def test_a_person_sees_what_was_written(tmm: Tmm, written: None) -> None:
    assert printable(ACTS.replace("\n", " ")) in tmm("show", "sft-support").out
    assert printable(ACTS.replace("\n", " ")) in tmm("audit", "why", "sft-support").out


# Nobody prints beside the one module.

PRINTER = "adapters/cli/output.py"
# Programs of their own: what auditors run without ours, children whose words their parent reads, scripts of developers.
PROGRAMS = {
    "adapters/models/trial.py",
    "adapters/proof/verify_export.py",
    "adapters/trainers/torch/distributed/rank.py",
    "adapters/custom_code/child.py",
    "adapters/prefect/warm_worker/fork_server.py",
    "adapters/prefect/warm_worker/make_imports.py",
    "infra/protection/logs.py",
    "infra/serving/prefect_process.py",
    "infra/serving/worker_process.py",
    "infra/samples/make_base_model.py",
    "infra/samples/make_datasets.py",
}
PRINTS = re.compile(
    r"(^|\.)(print|pprint|echo|secho|echo_via_pager|style|confirm|prompt|progressbar|Console|print_exc|print_exception"
    r"|print_tb|print_stack)$"
    r"|^(sys\.)?(__)?(stdout|stderr)(__)?\.(buffer\.)?(write|writelines)$"
)


def prints_in(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            if PRINTS.search(called := ast.unparse(node.func)):
                found.append(called)
            given: list[ast.expr] = [*node.args, *(keyword.value for keyword in node.keywords)]
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            given = [node.value]
        else:
            continue
        # As in csv.writer(sys.stdout), or print as something to call.
        found += [said for one in given if (said := ast.unparse(one)) in ("sys.stdout", "sys.stderr", "print")]
    return found


@pytest.mark.parametrize(
    "source",
    [
        "print('x')",
        "click.echo(name)",
        "click.secho(name)",
        "sys.stdout.write(name)",
        "sys.stderr.buffer.write(name)",
        "csv.writer(sys.stdout)",
        "Console(stderr=True)",
        "rich.print(name)",
        "traceback.print_exc()",
        "say = print",
        "Supervisor(say=print)",
        "click.confirm(name)",
    ],
)
def test_a_way_of_printing_is_recognised(source: str) -> None:
    assert prints_in(source)


@pytest.mark.parametrize("folder", ["adapters", "domain", "flows", "infra"])
def test_whatever_is_printed_goes_through_one_module(folder: str) -> None:
    found = {
        name: prints
        for file in (CHECKOUT / folder).rglob("*.py")
        if (name := file.relative_to(CHECKOUT).as_posix()) not in {PRINTER, *PROGRAMS}
        and "infra/templates/" not in name
        and (prints := prints_in(file.read_text(encoding="utf-8")))
    }
    assert found == {}
