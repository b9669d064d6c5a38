"""A model's files are data: code that lies beside them never runs, whichever of us opens the model."""

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.settings import CHECKOUT

BASE = CHECKOUT / "infra" / "samples" / "small-base"
OPENING = CHECKOUT / "adapters" / "shared" / "opening.py"
# What opens a model, a tokenizer or a configuration, by the name under which it is called.
OPENS = ("from_pretrained", "from_config", "load_dataset", "load_model", "load_tokenizer", "pipeline")


def sources() -> list[Path]:
    return [path for place in ("adapters", "flows", "infra", "domain") for path in (CHECKOUT / place).rglob("*.py")]


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """The calls in a file that may open a model, by the last part of the name; `load` where it is mlx_lm's."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    of_mlx = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mlx_lm")
        for alias in node.names
        if alias.name in ("load", "load_model", "load_tokenizer", "sharded_load")
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            whole = ast.unparse(node.func)
            if (name in OPENS and whole != "PeftModel.from_pretrained") or whole in of_mlx or whole == "mlx_lm.load":
                yield whole, node


def says_no(call: ast.Call) -> bool:
    """Whether the call says `trust_remote_code=False`, itself or for the tokenizer that it opens."""
    said = [ast.unparse(keyword) for keyword in call.keywords]
    return "trust_remote_code=False" in said or "tokenizer_config={'trust_remote_code': False}" in said


def test_every_call_that_opens_a_model_says_that_its_code_does_not_run() -> None:
    found = [(path, name, call) for path in sources() for name, call in calls(path)]
    assert len(found) >= 8
    asking = [
        f"{path.relative_to(CHECKOUT)}:{call.lineno} {name}"
        for path, name, call in found
        # Datasets' scripts are gone from the library, and it refuses the word.
        if not says_no(call) and name != "load_dataset"
    ]
    assert asking == []


def test_models_are_opened_in_one_place_and_in_the_templates_that_people_copy() -> None:
    elsewhere = {
        path.relative_to(CHECKOUT)
        for path in sources()
        for name, _ in calls(path)
        if path != OPENING and name != "load_dataset"
    }
    assert {path.parts[:2] for path in elsewhere} <= {("infra", "templates"), ("adapters", "models")}


@pytest.fixture
def with_code(tmp_path: Path) -> Path:
    """A base model that brings code for its configuration, its weights and its tokenizer, on each of our backends."""
    folder = Path(shutil.copytree(BASE, tmp_path / "model"))
    (folder / "brought.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
        "from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast\n"
        "class C(LlamaConfig): model_type = 'brought'\n"
        "class M(LlamaForCausalLM): pass\nclass T(PreTrainedTokenizerFast): pass\n"
        "class Model: pass\nclass ModelArgs: pass\n"
    )
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "brought",
        "model_file": "brought.py",
        "auto_map": {
            "AutoConfig": "brought.C",
            "AutoModelForCausalLM": "brought.M",
            "AutoModelForSequenceClassification": "brought.M",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    told = json.loads((folder / "tokenizer_config.json").read_text())
    told |= {"tokenizer_class": "T", "auto_map": {"AutoTokenizer": ["brought.T", "brought.T"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return folder


PREAMBLE = """
import sys
from dataclasses import replace
from pathlib import Path
from adapters.shared import opening
from domain.errors import TrainingMethodError
source = sys.argv[1]
"""
LOADERS = {
    "a tokenizer": "opening.tokenizer_of(source)",
    "a configuration": "opening.config_of(source)",
    "a model": "from transformers import AutoModelForCausalLM as K; opening.model_of(K, source)",
    "a judge": "from adapters.trainers.torch.common.reward_models import judged_by_model as j; j(source, device='cpu')",
    "a model on MLX": (
        "from adapters.shared.mlx_runtime import make_ready; make_ready(); opening.opened_on_mlx(source)"
    ),
    "what is measured with torch": (
        "from adapters.evaluation.torch_model import opened\nwith opened(source, None, 'cpu', is_adapter=False): pass"
    ),
    "what is measured with MLX": (
        "from adapters.evaluation.mlx_model import opened\nwith opened(source, None, is_adapter=False): pass"
    ),
    "the look before a training": "from adapters.preflight.tokens import opened; opened('it', source)",
}


QUICK = ("a tokenizer", "a model on MLX")
"""Tried in the inner loop; each imports the libraries anew."""


@pytest.mark.sample("a model", "a model on MLX", "the look before a training")
@pytest.mark.processes
@pytest.mark.parametrize(
    "loader",
    [
        pytest.param(name, marks=() if name in ("a model", "a model on MLX") else pytest.mark.training)
        for name in LOADERS
    ],
)
def test_the_code_of_a_model_does_not_run_even_where_somebody_would_say_yes(
    with_code: Path, tmp_path: Path, loader: str
) -> None:
    program = PREAMBLE + "try:\n    " + LOADERS[loader].replace("\n", "\n    ") + "\nexcept Exception as e: print(e)\n"
    done = subprocess.run(
        [sys.executable, "-c", program, str(with_code)],
        input="yes\ny\ny\ny\n",
        check=False,
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        timeout=240,
    )
    assert not (tmp_path / "ran").exists()
    assert done.returncode == 0, done.stderr
    assert "[y/N]" not in done.stdout
