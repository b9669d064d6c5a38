"""The lock: what it must hold, and that nothing is installed whose hash it does not hold."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
ASKED = [
    *PYPROJECT["project"]["dependencies"],
    *(asked for extra in EXTRAS.values() for asked in extra),
    *PYPROJECT["build-system"]["requires"],
    "pip",
]
# What only torch's CUDA build needs, which its CPU build, installed here, does not name.
OF_CUDA = ("nvidia-", "cuda-", "triton")
_ENTRY = re.compile(r"^(?P<asked>[^\s#][^\\\n]*?)(?P<hashes>(?: \\\n    --hash=sha256:[0-9a-f]{64})*)$", re.MULTILINE)


def entries() -> Iterator[tuple[Requirement, int]]:
    """What is pinned, and how many hashes stand beside it."""
    for entry in _ENTRY.finditer((ROOT / "infra/requirements.lock").read_text()):
        yield Requirement(entry["asked"]), entry["hashes"].count("--hash")


PINNED = {canonicalize_name(pinned.name): pinned for pinned, _ in entries()}


def test_every_package_is_pinned_once_and_has_a_hash() -> None:
    found = list(entries())
    assert len(found) == len(PINNED) > 100
    for pinned, hashes in found:
        assert str(pinned.specifier).startswith("=="), pinned
        assert hashes, pinned


@pytest.mark.parametrize("asked", ASKED)
def test_whatever_the_project_asks_for_is_in_the_lock(asked: str) -> None:
    wanted = Requirement(asked)
    pinned = PINNED[canonicalize_name(wanted.name)]
    assert wanted.specifier.contains(str(pinned.specifier).removeprefix("=="))


def test_torch_is_there_as_the_index_has_it_and_as_built_for_processors_alone() -> None:
    hashes = {pinned.name: hashes for pinned, hashes in entries()}
    assert hashes["torch"] > 20
    assert {"nvidia-cudnn-cu13", "triton", "mlx-metal", "mlx-cpu"} <= PINNED.keys()


def needed() -> dict[str, set[str]]:
    """All that the project needs wherever it runs, by name, with the extras of each, from what is installed here."""
    to_see = [Requirement(asked) for asked in ASKED]
    seen: dict[str, set[str]] = {}
    while to_see:
        wanted = to_see.pop()
        name = canonicalize_name(wanted.name)
        if name in seen and wanted.extras <= seen[name]:
            continue
        seen.setdefault(name, set()).update(wanted.extras)
        try:
            asks = distribution(name).requires or []
        except ModuleNotFoundError:
            continue  # not for this machine
        for further in map(Requirement, asks):
            extra = re.search(r"extra == ['\"]([^'\"]+)['\"]", str(further.marker or ""))
            if extra is None or canonicalize_name(extra[1]) in {canonicalize_name(one) for one in seen[name]}:
                to_see.append(further)
    return seen


def test_nothing_is_pinned_that_nobody_needs() -> None:
    unneeded = PINNED.keys() - needed().keys()
    assert {name for name in unneeded if not name.startswith(OF_CUDA)} == set()


def test_what_is_installed_is_what_the_lock_pins() -> None:
    here = {name: pinned for name, pinned in PINNED.items() if name != "pip" and not name.startswith(OF_CUDA)}
    differing = {}
    for name, pinned in here.items():
        if pinned.marker is None or pinned.marker.evaluate():
            try:
                installed = version(name)
            except ModuleNotFoundError:
                continue  # of other machines, by the markers of what needs it
            if not pinned.specifier.contains(installed, prereleases=True):
                differing[name] = (installed, str(pinned.specifier))
    assert differing == {}


WHEEL = "tiny-1.0-py3-none-any.whl"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one dependency, `tiny`, whose wheel lies beside it; pip and setuptools are there already."""
    root = tmp_path / "project"
    (tmp_path / "wheels").mkdir()
    with zipfile.ZipFile(tmp_path / "wheels" / WHEEL, "w") as wheel:
        wheel.writestr("tiny.py", "")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    (root / "infra").mkdir(parents=True)
    shutil.copy(ROOT / "infra/environment", root / "infra/environment")
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "one"\nversion = "1.0"\ndependencies = ["tiny"]\n'
        '[tool.setuptools]\npackages = ["domain"]\n'
    )
    # What the installation ends with is looked at by importing these two.
    (root / "domain/catalogue").mkdir(parents=True)
    (root / "domain/catalogue/catalogue.py").write_text("import tiny\n")
    (root / "prefect.py").write_text("")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root / ".venv"], check=True)
    theirs = next((root / ".venv").glob("lib/*/site-packages"))
    for folder in Path(sysconfig.get_path("purelib")).iterdir():
        if folder.is_dir() and folder.name.partition("-")[0] in ("pip", "setuptools", "_distutils_hack"):
            shutil.copytree(folder, theirs / folder.name)
    return root


def made(project: Path, *, tiny: str) -> "subprocess.CompletedProcess[str]":
    """What comes of installing it from a lock that has this hash of `tiny`."""
    at_hand = [f"{name}=={version(name)} \\\n    --hash=sha256:{'0' * 64}\n" for name in ("pip", "setuptools")]
    (project / "infra/requirements.lock").write_text("".join([*at_hand, f"tiny==1.0 \\\n    --hash=sha256:{tiny}\n"]))
    return subprocess.run(
        ["bash", "-c", 'source infra/environment && make_environment ""'],
        cwd=project,
        env={"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(project.parent / "wheels")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.processes
def test_a_file_whose_hash_the_lock_does_not_hold_is_not_installed(project: Path) -> None:
    refused = made(project, tiny="0" * 64)
    assert refused.returncode != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in refused.stderr
    assert "could not be installed" in refused.stderr
    assert not list(project.glob(".venv/lib/*/site-packages/tiny.py"))


@pytest.mark.processes
def test_what_the_lock_holds_is_installed_and_then_the_project(project: Path) -> None:
    installed = made(project, tiny=hashlib.sha256((project.parent / "wheels" / WHEEL).read_bytes()).hexdigest())
    assert installed.returncode == 0, installed.stderr
    assert list(project.glob(".venv/lib/*/site-packages/tiny.py"))
