"""The check catches a planted fault of every kind that it claims to prove, and lets what keeps the contract pass."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.custom_code import conformance, workshop
from domain.catalogue.method_spec import Backend
from domain.ports import Finding
from infra.settings import Settings
from infra.wiring import Installation

pytestmark = pytest.mark.training

# Trains as a training does in all that the check sees, and takes milliseconds: each step moves a few weights at random.
GOOD = """
import shutil
from pathlib import Path
from pydantic import BaseModel, Field
from domain.training import TrainingResult, changes


class Options(BaseModel):
    max_steps: int = Field(4, ge=1, le=99, description="Steps", json_schema_extra=changes("steps"))
    learning_rate: float = Field(0.1, ge=0.0, le=9.0, description="Rate", json_schema_extra=changes("weights"))
    save_steps: int = Field(2, ge=1, le=99, description="Saves", json_schema_extra=changes("checkpoints", tried=3))


def train(job, options, progress):
    import numpy as np
    from safetensors.numpy import load_file, save_file

    base, trained = Path(job.base_model), job.folder / "trained"
    weights, done = load_file(base / "model.safetensors"), 0
    if newest := job.checkpoints.newest():
        done, weights = newest[0], load_file(newest[1] / "state.safetensors")
    for step in range(done + 1, options.max_steps + 1):
        drawn = np.random.default_rng([job.seed, step]).normal(size=weights["model.norm.weight"].shape)
        weights["model.norm.weight"] = (weights["model.norm.weight"] + options.learning_rate * drawn).astype("float32")
        if step % options.save_steps == 0:
            job.checkpoints.save(step, lambda folder: save_file(weights, folder / "state.safetensors"))
        progress.step(step, options.max_steps, {"loss": 1.0 / step})
    shutil.copytree(base, trained)
    save_file(weights, trained / "model.safetensors", {"format": "pt"})
    return TrainingResult(trained, is_adapter=False, steps=options.max_steps, metrics={"loss": 1.0})
"""

LAST_OPTION = "    save_steps: int"
FIRST_LINE = "    base, trained"
DRAWN = "np.random.default_rng([job.seed, step])"
STEP = "progress.step(step, options.max_steps"
RESULT = "    return TrainingResult"

# Several faults at once where they do not hide one another.
FAULTS = {
    "what is declared and read": (
        [
            ("import shutil\n", "import shutil\nimport jax\n"),
            (
                LAST_OPTION,
                '    bare: int = Field(1, description="No limits")\n'
                '    ignored: int = Field(1, ge=1, le=9, description="x", json_schema_extra=changes("weights"))\n'
                '    free: int = Field(1, ge=1, le=9, description="x", json_schema_extra=changes("memory"))\n'
                '    idle: int = Field(1, ge=1, le=9, description="x", json_schema_extra=changes("weights"))\n'
                '    quicker: int = Field(1, ge=1, le=9, description="x", json_schema_extra=changes("steps"))\n'
                '    talks: int = Field(1, ge=1, le=9, description="x", json_schema_extra=changes("metrics"))\n'
                '    lora: bool = Field(False, description="x", json_schema_extra=changes("artifact"))\n'
                '    note: str = Field("", description="x", json_schema_extra=changes("weights"))\n'
                '    far: int = Field(1, ge=1, le=9, description="x", json_schema_extra=changes("weights", tried=99))\n'
                '    breaks: int = Field(1, ge=1, le=9, description="x", json_schema_extra=changes("weights"))\n'
                + LAST_OPTION,
            ),
            (
                FIRST_LINE,
                "    options.idle, options.quicker, options.talks, options.lora\n"
                '    getattr(options, "secret", 0)\n    1 / (2 - options.breaks)\n' + FIRST_LINE,
            ),
        ],
        {
            "it imports fast": "move the import of jax into train",
            "option bare is described": "give it a smallest and a largest value",
            "option bare is honoured": "does not say what it visibly changes",
            "option ignored is honoured": "train never reads it",
            "option free is honoured": "train never reads it",
            "option idle is honoured": "1 and 2 give the same weights",
            "option quicker is honoured": "1 and 2 give the same steps",
            "option talks is honoured": "1 and 2 give the same metrics",
            "option lora is honoured": "False and True give the same artifact",
            "option note is honoured": "name a second value to try",
            "option far is honoured": "the value to try is none: option 'far' must be at most 9",
            "option breaks is honoured": "with breaks=2: ZeroDivisionError: division by zero (method.py, line 31",
            "only declared options are read": "train asks the options for secret",
        },
    ),
    "what is reported and drawn": (
        [
            (DRAWN, "np.random.default_rng()"),
            (STEP, "progress.step(2 * step, options.max_steps"),
            ('{"loss": 1.0 / step}', '{"loss": float("inf")}'),
        ],
        {
            "progress is reported and rises": "the steps must be 1, 2, 3 and so on, not 2, 4, 6",
            "what is reported is finite": "loss is inf at step 2",
            "the same seed gives the same weights": "draw everything from job.seed",
        },
    ),
    "a total that moves, and a step that says nothing": (
        [(STEP, "progress.step(step, step"), ('{"loss": 1.0 / step}', '{"loss": 1.0} if step > 1 else {}')],
        {
            "progress is reported and rises": "the total must be the number of steps throughout, not 1, 2, 3",
            "what is reported is finite": "one without any metric",
        },
    ),
    "other steps in the result": (
        [("steps=options.max_steps", "steps=99")],
        {"progress is reported and rises": "the result says 99 steps, and 3 were reported"},
    ),
    "how it ends": (
        [
            ("        " + STEP, "        try:\n            " + STEP),
            ('{"loss": 1.0 / step})', '{"loss": 1.0 / step})\n        except BaseException:\n            pass'),
            ("job.checkpoints.save(", "print("),
            ("+ options.learning_rate * drawn", "+ 0 * options.learning_rate * drawn"),
        ],
        {
            "the result opens and is not the base model": "did not change a single weight",
            "cancelling stops it": "stopped at step 2 it went on to its end",
            "a checkpoint is written and a run resumes from it": "no checkpoint was written before the end",
            "option save_steps is honoured": "2 and 3 give the same checkpoints",
        },
    ),
    "an end that comes late": (
        [
            ("    for step in", "    late = None\n    for step in"),
            ("        " + STEP, "        try:\n            " + STEP),
            (
                '{"loss": 1.0 / step})',
                '{"loss": 1.0 / step})\n        except BaseException as stop:\n            late = late or stop',
            ),
            ("    shutil.copytree", "    if late:\n        raise late\n    shutil.copytree"),
        ],
        {"cancelling stops it": "stopped at step 2 it took 1 more"},
    ),
    "where it begins again and what it touches": (
        [
            ("done, weights = newest[0], load_file", "done, weights = 0, load_file"),
            (
                FIRST_LINE,
                '    import socket\n    Path(__file__).with_name("left-behind").write_text("x")\n'
                '    Path(__file__).with_name("made-there").mkdir(exist_ok=True)\n    try:\n'
                '        socket.getaddrinfo("models.example.org", 443)\n    except OSError:\n        pass\n'
                "    with socket.socket() as called:\n        called.setblocking(False)\n"
                '        called.connect_ex(("192.0.2.1", 443))\n' + FIRST_LINE,
            ),
        ],
        {
            "a checkpoint is written and a run resumes from it": "from the checkpoint of step 2 it went on with step 1",
            "nothing is written outside the run's folder": "left-behind",
            "no network is used": "192.0.2.1:443, models.example.org",
        },
    ),
    "a checkpoint that cannot be read": (
        [('newest[1] / "state.safetensors"', 'newest[1] / "nowhere"')],
        {"a checkpoint is written and a run resumes from it": "FileNotFoundError"},
    ),
    "checkpoints that come too late": (
        [
            ("    for step in", "    kept = []\n    for step in"),
            ("job.checkpoints.save(step, ", "kept.append((step, "),
            ('folder / "state.safetensors"))', 'folder / "state.safetensors")))'),
            ("    shutil.copytree", "    [job.checkpoints.save(*one) for one in kept]\n    shutil.copytree"),
        ],
        {"a checkpoint is written and a run resumes from it": "a run that was stopped had kept no checkpoint"},
    ),
    "a state that is not whole": (
        [(DRAWN, "rng"), ("    for step in", "    rng = np.random.default_rng(job.seed)\n    for step in")],
        {"a resumed run ends with the same weights": "keep the optimiser's state"},
    ),
    "a result that does not open": (
        [(RESULT, '    (trained / "model.safetensors").write_bytes(b"nonsense")\n' + RESULT)],
        {"the result opens and is not the base model": "it cannot be opened"},
    ),
    "an adapter that does not load": (
        [(RESULT, '    (trained / "adapter_config.json").write_text("{}")\n' + RESULT), ("=False", "=True")],
        {"the result opens and is not the base model": "it cannot be opened"},
    ),
    "a reward model that learned nothing": (
        [
            (
                RESULT,
                "    import torch\n    from safetensors.torch import load_file as opened, save_file as kept\n"
                '    kept({**opened(base / "model.safetensors"), "score.weight": torch.ones(1, 128)},'
                ' trained / "model.safetensors", {"format": "pt"})\n'
                '    config = trained / "config.json"\n'
                '    config.write_text(config.read_text().replace("ForCausalLM", "ForSequenceClassification"))\n'
                + RESULT,
            )
        ],
        {"the result opens and is not the base model": "did not change a single weight"},
    ),
    "an error at once": (
        [(FIRST_LINE, "    raise KeyError('no')\n" + FIRST_LINE)],
        {"it trains": "KeyError: 'no' (method.py, line 18, in train)"},
    ),
    "no progress": ([(STEP, "print(step")], {"progress is reported and rises": "progress.step was never called"}),
    "no code at all": ([("def train", "def trains")], {"it imports": "has no function train(job, options, progress)"}),
    "no Python": ([("def train(job,", "def train(job")], {"it imports": "SyntaxError"}),
    "an option without a default": (
        [("Field(4, ge=1", "Field(ge=1")],
        {"options are described": "Options.max_steps: give it a default"},
    ),
    "an option without a description": (
        [(', description="Rate"', "")],
        {"options are described": "Options.learning_rate: say what it does"},
    ),
}


@pytest.fixture
def tmm(tmp_path: Path) -> Iterator[Installation]:
    with Installation(Settings(home=tmp_path / "home", backends="cuda,mlx")) as installation:
        yield installation


def findings(tmm: Installation, folder: Path, text: str) -> list[Finding]:
    folder.mkdir()
    (folder / "method.py").write_text(text)
    (folder / "jax.py").touch()  # stands in for a library that takes seconds to import
    found: list[Finding] = []
    kept = tmm.workshop.check(folder, backend=Backend.CUDA, dataset="sft-demo", told=found.append)
    assert kept == all(finding.verdict != "broken" for finding in found)
    return found


def test_what_keeps_the_contract_passes_and_is_remembered(tmm: Installation, tmp_path: Path) -> None:
    found = findings(tmm, tmp_path / "code", GOOD)
    assert [finding for finding in found if finding.verdict != "kept"] == []
    assert len(found) > 15
    assert tmm.workshop.was_checked(tmp_path / "code", backend=Backend.CUDA)
    assert not tmm.workshop.was_checked(tmp_path / "code", backend=Backend.MLX)
    (tmp_path / "code" / "method.py").write_text(GOOD + "\n")
    assert not tmm.workshop.was_checked(tmp_path / "code", backend=Backend.CUDA)


def test_what_an_older_check_found_is_checked_again(
    tmm: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "method.py").write_text(GOOD)
    monkeypatch.setattr(workshop, "in_a_process", lambda *_, **__: {"broken": 0})
    tmm.workshop.check(tmp_path / "code", backend=Backend.CUDA, dataset="sft-demo", told=lambda _: None)
    assert tmm.workshop.was_checked(tmp_path / "code", backend=Backend.CUDA)
    kit = Path(workshop.__file__).parent
    monkeypatch.setattr(workshop, "_KIT", shutil.copytree(kit, tmp_path / "kit"))
    with (tmp_path / "kit" / "claims.py").open("a") as claims:
        claims.write("# one claim more\n")
    assert not tmm.workshop.was_checked(tmp_path / "code", backend=Backend.CUDA)


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught_in_words_that_say_what_to_do(tmm: Installation, tmp_path: Path, fault: str) -> None:
    replacements, expected = FAULTS[fault]
    text = GOOD
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    broken = {
        finding.claim: finding.words
        for finding in findings(tmm, tmp_path / "code", text)
        if finding.verdict == "broken"
    }
    for claim, words in expected.items():
        assert words in broken.get(claim, "(kept)"), claim


@pytest.mark.usefixtures("warm")
def test_an_import_that_everybody_would_wait_for_is_caught(
    tmm: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformance, "SLOWEST_IMPORT_S", 0.2)
    found = findings(tmm, tmp_path / "code", "import time\ntime.sleep(0.3)\n" + GOOD)
    [slow] = [finding for finding in found if finding.verdict == "broken"]
    assert slow.claim == "it imports fast"
    assert re.fullmatch(r"importing it took \d+\.\d seconds", slow.words)
