"""The developer guide cannot rot: every command and every piece of code in it runs here, in its order."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import indent
from typing import Any, NamedTuple

import pytest

from infra.settings import CHECKOUT, Settings
from infra.wiring import Installation

GUIDE = (CHECKOUT / "infra" / "guide" / "custom-code.md").read_text(encoding="utf-8")
CHANGES = "<!-- the same two changes -->"


class Block(NamedTuple):
    """A fenced block of the guide: its language and its text; or a mark that stands between blocks."""

    language: str
    text: str


BLOCKS = [
    Block(found["language"] or "mark", found["text"] or "")
    for found in re.finditer(
        rf"^```(?P<language>\w+)\n(?P<text>.*?)^```$|^{re.escape(CHANGES)}$", GUIDE, re.DOTALL | re.MULTILINE
    )
]
PYTHON = [block.text for block in BLOCKS if block.language == "python"]
NEW_OPTION = next(text for text in PYTHON if text.startswith("easy_share"))
NEW_LINES = next(text for text in PYTHON if text.startswith("early"))


def with_the_two_changes(method: str) -> str:
    """The method as the guide says to change it."""
    lines = method.splitlines(keepends=True)
    [option] = [number for number, line in enumerate(lines) if line.startswith("    save_steps")]
    [rows] = [number for number, line in enumerate(lines) if line.strip().startswith("rows = random")]
    lines[rows] = indent(NEW_LINES, 8 * " ")
    lines.insert(option, indent(NEW_OPTION, 4 * " "))
    return "".join(lines)


@pytest.mark.parametrize(
    "text", [text for text in PYTHON if text not in (NEW_OPTION, NEW_LINES)], ids=lambda text: text[:40]
)
def test_a_piece_of_code_in_the_guide_runs(text: str) -> None:
    made: dict[str, Any] = {}
    exec(compile(text, "guide", "exec"), made)
    if "reward" in made:
        said = [[{"role": "assistant", "content": "it is 85"}], [{"role": "assistant", "content": "no"}]]
        assert made["reward"](said, ["85", "85"]) == [1.1, 0.1]
    if "Options" in made and made["Options"].model_fields:
        from domain.catalogue.options import declared_options

        assert [option.name for option in declared_options(made["Options"])] == [
            "max_steps",
            "schedule",
            "label_smoothing",
        ]


@pytest.mark.parametrize(
    "file", sorted((CHECKOUT / "infra/templates/custom01").glob("method_on_*.py")), ids=lambda f: f.stem
)
def test_the_two_changes_fit_both_templates(file: Path) -> None:
    compile(with_the_two_changes(file.read_text(encoding="utf-8")), file.name, "exec")


@pytest.mark.full
@pytest.mark.training
def test_every_command_of_the_guide_works_in_an_empty_folder_and_needs_no_prefect_but_to_train(tmp_path: Path) -> None:
    here, home = tmp_path / "empty", tmp_path / "home"
    here.mkdir()
    licensed(home)
    follow(here, environment(home), trainings=False)
    with Installation(Settings(home=home)) as installation:
        methods = {method.spec.internal_name: method.spec for method in installation.catalogue.selectable()}
    assert methods["curriculum"].code == methods["custom01"].code is not None
    assert [backend.value for backend in methods["custom02"].backends] == ["mlx"]
    assert "easy_share" in [option.name for option in methods["custom02"].configuration_options]


@pytest.mark.journey
@pytest.mark.full  # the same with its trainings through Prefect: the templates' own tests and journeys show these too
def test_following_the_guide_in_an_empty_folder_ends_with_methods_trained_on_both_backends(tmp_path: Path) -> None:
    here, home = tmp_path / "empty", tmp_path / "home"
    here.mkdir()
    licensed(home)
    with serving(home, environment(home)):
        follow(here, environment(home), trainings=True)
        with Installation(Settings(home=home)) as installation:
            runs = installation.trainings.all()
            methods = {method.spec.internal_name: method.spec for method in installation.catalogue.selectable()}
    assert [(run.request.backend.value, run.status.value) for run in runs] == [
        ("mlx", "completed"),
        ("cuda", "completed"),
        ("cuda", "completed"),
    ]
    for run in runs:
        assert run.before is not None
        assert run.after is not None
        assert run.after["accuracy"] > run.before["accuracy"] + 0.2
    assert runs[0].options is not None
    assert "easy_share" in runs[0].options
    assert runs[0].provenance is not None
    assert methods["custom02"].code is not None
    assert runs[0].provenance.code_hash == methods["custom02"].code.hash
    assert methods["curriculum"].code == methods["custom01"].code


def environment(home: Path) -> dict[str, str]:
    ours = {"TMM_HOME": str(home), "TMM_PREFECT_PORT": "0", "PYTHONPATH": str(CHECKOUT), "HF_HUB_OFFLINE": "1"}
    return {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"} | ours


def follow(here: Path, environment: dict[str, str], *, trainings: bool) -> None:
    """Do what the guide says, from its first block to its last."""
    for block in BLOCKS:
        if block.language == "bash":
            lines = block.text.splitlines(keepends=True)
            run_block(
                "".join(line for line in lines if trainings or not line.startswith("tmm train")), here, environment
            )
        elif block.text in (NEW_OPTION, NEW_LINES):
            continue
        if block.language == "mark" or "--to curriculum\n" in block.text:
            folder = here / ("curriculum-mlx" if block.language == "mark" else "curriculum")
            method = folder / "method.py"
            method.write_text(with_the_two_changes(method.read_text(encoding="utf-8")), encoding="utf-8")


def run_block(text: str, here: Path, environment: dict[str, str]) -> None:
    """A block of the guide, in a shell that stops at the first command that fails."""
    tmm = f'tmm() {{ "{sys.executable}" -m infra.main "$@"; }}; set -e\n'
    done = subprocess.run(
        ["bash", "-c", tmm + text], cwd=here, env=environment, capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def licensed(home: Path) -> None:
    with Installation(Settings(home=home)) as installation:
        keys, licences = home / "keys", installation.licences
        licences.generate_pair(keys)
        licences.trust((keys / "public.pem").read_bytes())
        out = home / "x.licence"
        licences.issue(keys / "private.pem", customer="Tests", users=["*"], days=1, out=out)
        licences.install(out.read_bytes())


@contextmanager
def serving(home: Path, environment: dict[str, str]) -> Iterator[None]:
    """`tmm up`, ready when it says so."""
    log = home / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.main", "up"], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 180
        while b"Workers serve" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(60)
