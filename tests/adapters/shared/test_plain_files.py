"""A pipe, a socket, a device, or a link that leaves a folder is refused with a sentence, and never opened."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters.custom_code.code_store import Code
from adapters.custom_code.method_folder import fields_of
from adapters.custom_code.running import CustomTrainer, Limits
from adapters.datasets import Datasets
from adapters.models import BaseModels
from domain.errors import CustomCodeFailed, InvalidBaseModel, InvalidDataset, InvalidMethod
from domain.training import TrainingJob
from infra.settings import CHECKOUT
from tests.adapters.custom_code.conftest import OPTIONS, Steps, Write, job, limits, write

__all__ = ["job", "limits", "write"]

SAMPLES = CHECKOUT / "infra" / "samples"
ROWS = '{"text": "one"}\n{"text": "two"}\n'

Strange = Callable[[Path], object]


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


STRANGE: dict[str, tuple[Strange, str]] = {
    "a pipe": (os.mkfifo, "is a named pipe"),
    "a socket": (a_socket, "is a socket"),
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "link"),
    "a link that leaves": (lambda path: path.symlink_to("/etc/hostname"), "link"),
    "a link to nowhere": (lambda path: path.symlink_to(path.parent / "nowhere"), "link"),
    "a link to itself": (lambda path: path.symlink_to(path), "link"),
    "a link to a folder that leaves": (lambda path: path.symlink_to("/etc"), "link"),
}
EACH = pytest.mark.parametrize("kind", STRANGE)


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """Whoever opens a pipe waits for ever; this ends it."""
    import faulthandler

    faulthandler.dump_traceback_later(60, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@EACH
@pytest.mark.parametrize("name", ["method.py", "beside.py", "method.yaml"])
def test_in_a_code_folder(tmp_path: Path, kind: str, name: str) -> None:
    make, _ = STRANGE[kind]
    (tmp_path / "method.py").write_text("x = 1")
    (tmp_path / name).unlink(missing_ok=True)
    make(tmp_path / name)
    with pytest.raises(InvalidMethod):
        Code.read(tmp_path)


@pytest.mark.parametrize("kind", [kind for kind in STRANGE if "link" in kind])
def test_a_method_file_that_is_a_link_is_not_followed(tmp_path: Path, kind: str) -> None:
    STRANGE[kind][0](tmp_path / "method.yaml")
    with pytest.raises(InvalidMethod, match="is a symbolic link"):
        fields_of(tmp_path, "mine", present=None)


@EACH
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "sub/x"])
def test_in_a_base_model(tmp_path: Path, kind: str, name: str) -> None:
    make, words = STRANGE[kind]
    folder = Path(shutil.copytree(SAMPLES / "small-base", tmp_path / "model"))
    (folder / "sub").mkdir()
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    for do in (BaseModels(SAMPLES).located, BaseModels(SAMPLES).open):
        with pytest.raises(InvalidBaseModel, match=words):
            do(str(folder))


@EACH
@pytest.mark.parametrize("name", ["train.jsonl", "held_out.jsonl", "held_out.parquet"])
def test_in_a_dataset(tmp_path: Path, kind: str, name: str) -> None:
    make, words = STRANGE[kind]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.jsonl").write_text(ROWS)
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    with pytest.raises(InvalidDataset, match=words):
        Datasets(SAMPLES).load(str(folder), seed=0)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_as_a_dataset(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"rows{suffix}")
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    for name in ("rows", "zero"):
        with pytest.raises(InvalidDataset, match=r"a named pipe|a device"):
            Datasets(SAMPLES).load(str(tmp_path / f"{name}{suffix}"), seed=0)


def test_links_that_stay_are_as_good_as_what_they_lead_to(tmp_path: Path) -> None:
    hub = tmp_path / "models--some--model"
    snapshot = hub / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (hub / "blobs").mkdir()
    for file in (SAMPLES / "small-base").iterdir():
        shutil.copy(file, hub / "blobs" / file.name)
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    assert BaseModels(SAMPLES).open(str(snapshot)).files_hash == BaseModels(SAMPLES).open("small-base").files_hash
    (tmp_path / "named").symlink_to(snapshot)
    assert BaseModels(SAMPLES).open(str(tmp_path / "named")).source == str(tmp_path / "named")

    (tmp_path / "rows.jsonl").write_text(ROWS)
    (tmp_path / "linked.jsonl").symlink_to(tmp_path / "rows.jsonl")  # who names it means it
    assert Datasets(SAMPLES).load(str(tmp_path / "linked.jsonl"), seed=0).rows


@pytest.mark.processes
def test_in_what_code_of_ones_own_gives_as_its_result(
    write: Write, job: TrainingJob, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapters.shared import confinement

    monkeypatch.setattr(confinement, "missing", lambda: "confined, it could not even make one")
    code = write(
        OPTIONS
        + """
def train(job, options, progress):
    (job.folder / "config.json").write_text("{}")
    (job.folder / "key").symlink_to("/etc/shadow")
    return TrainingResult(job.folder, is_adapter=False, steps=1, metrics={})
"""
    )
    with pytest.raises(CustomCodeFailed, match="leads out of its folder, and what the code gives"):
        CustomTrainer(code, limits).train(job, {}, Steps())
