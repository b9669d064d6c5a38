"""The command line on a real installation with the embedded store, called as its users call it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.cli import run
from infra.service import Service
from infra.settings import Settings


@dataclass(frozen=True)
class Answer:
    """What a command answered: exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """The one error line of a command that failed and printed nothing else."""
        assert self.out == ""
        assert self.err.startswith("error: ")
        assert self.err.count("\n") == 1
        return self.err.removeprefix("error: ").rstrip("\n")


Tmm = Callable[..., Answer]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the commands, empty."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def site(home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of an installation of its own; no Prefect is known there."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return Settings(home=home, backends="cuda,mlx")


@pytest.fixture
def tmm(site: Settings, here: Path, capsys: pytest.CaptureFixture[str]) -> Tmm:
    """One command line, on a fresh view of the same installation each time."""

    def call(*args: str) -> Answer:
        capsys.readouterr()
        code = run(lambda: Service(site), args)
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return call


@pytest.fixture
def installation(site: Settings) -> Iterator[Service]:
    with Service(site) as installation:
        yield installation


@pytest.fixture
def commercial(tmm: Tmm) -> None:
    """A licence for everyone is installed."""
    assert tmm("licence", "keygen", "--out", "keys").code == 0
    issue = ("licence", "issue", "--key", "keys/private.pem", "--customer", "Acme", "--users", "*", "--days", "9")
    assert tmm(*issue, "--out", "acme.licence").code == 0
    assert tmm("licence", "trust", "keys/public.pem").code == 0
    assert tmm("licence", "install", "acme.licence").code == 0
