"""A team's installation does not start where what its rules stand on lies open; the doctor says what does."""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from domain.errors import InstallationLiesOpen
from infra.protection import openness
from infra.protection.openness import openings
from infra.serving.supervisor import Supervisor
from infra.settings import Settings
from infra.upkeep.doctor import checks
from infra.wiring import Installation
from tests.adapters.store.test_reading_only import Answer, as_somebody_else, tmm

NOBODY = 65534


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user of the machine may look into."""
    with tempfile.TemporaryDirectory(prefix="tmm-reachable-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def code(reachable: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Code of an installation, in place of that of this checkout, whose permissions are what they are."""
    folder = reachable / "code"
    (folder / "domain").mkdir(parents=True)
    (folder / "library").mkdir()
    for file in (folder / "domain" / "users.py", folder / "python"):
        file.write_text("")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    monkeypatch.setattr(openness, "CHECKOUT", folder)
    monkeypatch.setattr(openness.sys, "prefix", str(folder / "packages"))
    monkeypatch.setattr(openness.sys, "executable", str(folder / "python"))
    monkeypatch.setattr(openness.os, "__file__", str(folder / "library" / "os.py"))
    monkeypatch.setattr(openness, "SERVICES_ENVIRONMENT", reachable / "environment")
    return folder


@pytest.fixture
def team(reachable: Path, code: Path) -> Settings:
    """A team's installation in which nothing lies open, with licences and keys outside of the data folder."""
    settings = Settings(
        home=reachable / "home",
        team=True,
        backends="cuda",
        licences=reachable / "etc" / "licences",
        trust_store=reachable / "etc" / "trust",
        checkpoint_key=reachable / "etc" / "key",
    )
    for folder in (settings.home, settings.licences, settings.trust_store, settings.checkpoint_key):
        folder.mkdir(parents=True, mode=0o755)
        folder.chmod(0o755)
    settings.home.chmod(0o700)
    settings.licences.parent.chmod(0o755)
    (settings.licences / "L-1.licence").write_text("signed")
    (settings.checkpoint_key / "private.pem").write_text("private")
    (reachable / "environment").write_text("TMM_DATABASE_URL=postgresql://tmm:hush@db/tmm")
    (settings.licences / "L-1.licence").chmod(0o644)
    for secret in (settings.checkpoint_key / "private.pem", reachable / "environment"):
        secret.chmod(0o600)
    return settings


def test_a_team_s_installation_in_which_nothing_lies_open_starts(team: Settings) -> None:
    assert openings(team, thoroughly=True) == []
    with Installation(team) as installation:
        assert installation.catalogue.selectable()
    with Supervisor(team, print):
        pass


OPENED = {
    "the data folder": ("home", 0o750),
    "the licences": ("etc/licences", 0o775),
    "a licence": ("etc/licences/L-1.licence", 0o666),
    "the trust store": ("etc/trust", 0o757),
    "a folder above": ("etc", 0o777),
    "the signing key": ("etc/key/private.pem", 0o640),
    "the services' passwords": ("environment", 0o644),
    "the code": ("code", 0o775),
}


@pytest.mark.parametrize(("name", "mode"), OPENED.values(), ids=OPENED)
def test_a_team_s_installation_that_lies_open_does_not_start_until_the_command_that_it_names_was_run(
    team: Settings, reachable: Path, name: str, mode: int
) -> None:
    (reachable / name).chmod(mode)
    with Installation(team) as installation, pytest.raises(InstallationLiesOpen) as refused:
        _ = installation.log
    assert str(reachable / name) in str(refused.value)
    _, _, command = str(refused.value).partition("Mend it with: ")
    subprocess.run(shlex.split(command.partition(". There is more")[0].rstrip(".")), check=True)
    with Installation(team) as installation:
        assert installation.catalogue.selectable()


def test_code_deep_in_the_checkout_is_looked_at_when_processes_are_started(team: Settings, code: Path) -> None:
    deep = code / "domain" / "users.py"
    deep.chmod(0o666)
    with Installation(team) as installation:
        assert installation.catalogue.selectable()  # every command would be slower
    with pytest.raises(InstallationLiesOpen, match=f"the code: others may change {deep}"), Supervisor(team, print):
        pass
    (code / "domain" / "method.py").write_text("")
    (code / "domain" / "method.py").chmod(0o666)
    (found,) = [opening for opening in openings(team, thoroughly=True) if opening.what == "the code"]
    assert found.words.endswith(f"and 1 more in {code}")
    subprocess.run(shlex.split(found.mended_by), check=True)
    assert openings(team, thoroughly=True) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_what_another_user_owns_lies_open_to_that_user(team: Settings) -> None:
    os.chown(team.licences, NOBODY, NOBODY)
    with Installation(team) as installation, pytest.raises(InstallationLiesOpen, match="belongs to another user"):
        _ = installation.log


def test_what_a_data_folder_of_one_s_own_leaves_open_is_closed_and_not_refused(team: Settings) -> None:
    team.home.chmod(0o755)
    with Supervisor(team, print):
        assert team.home.stat().st_mode & 0o077 == 0


def _said_of(settings: Settings) -> tuple[bool, str]:
    with Installation(settings) as installation:
        (check,) = [check for check in checks(installation) if check.name == "openness"]
    return check.ok, check.words


def test_the_doctor_says_what_lies_open_in_both_set_ups(team: Settings) -> None:
    own = team.model_copy(update={"team": False})
    assert _said_of(team) == (True, "nothing that rules stand on can be read or changed by others")
    team.trust_store.chmod(0o777)
    said = f"the trust store: others may change {team.trust_store}. Mend it with: chmod go-w {team.trust_store}"
    assert _said_of(team)[0] is False
    assert said in _said_of(team)[1]
    ok, words = _said_of(own)
    assert ok
    assert words.startswith("on a machine of your own a remark")
    assert said in words
    with Installation(own) as installation:
        assert installation.catalogue.selectable()


def test_a_role_that_may_change_the_event_log_lies_open_and_one_that_may_only_append_does_not(
    team: Settings, postgres_url: str
) -> None:
    settings = team.model_copy(update={"database_url": postgres_url})
    with Installation(settings) as installation:
        installation.migrate()
    meddler, clerk = f"meddler_{os.getpid()}", f"clerk_{os.getpid()}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        try:
            connection.execute(f"CREATE ROLE {meddler} LOGIN; CREATE ROLE {clerk} LOGIN IN ROLE tmm_application")
            assert openings(settings, thoroughly=True) == []
            connection.execute(f"GRANT DELETE ON tmm.stored_events TO {meddler}")
            (found,) = openings(settings, thoroughly=True)
            assert f"the database's role '{meddler}' may change it" in found.words
            with pytest.raises(InstallationLiesOpen, match=meddler), Supervisor(settings, print):
                pass
            connection.execute(shlex.split(found.mended_by)[2])
            assert openings(settings, thoroughly=True) == []
        finally:
            connection.execute(f"DROP OWNED BY {meddler}, {clerk}; DROP ROLE {meddler}, {clerk}")


@pytest.mark.skipif(os.getuid() != 0, reason="the installation must be another user's")
@pytest.mark.parametrize("command", [["list"], ["audit"], ["delete", "custom01", "--yes"], ["licence", "show"]])
def test_who_may_not_look_into_an_installation_is_told_so_in_one_sentence(reachable: Path, command: list[str]) -> None:
    settings = Settings(home=reachable / "home", backends="cuda")
    with Installation(settings) as installation:
        installation.migrate()
    tmm(settings, *command)  # loads every module: the interpreter's own files may be out of another user's reach

    def ask() -> Answer:
        return tmm(settings, *command)

    settings.home.chmod(0o700)
    answer = as_somebody_else(ask)
    assert answer.out == ""
    if command == ["licence", "show"]:
        return
    assert (answer.code, answer.err.count("\n")) == (3, 1)
    assert f"The installation in {settings.home} belongs to root, and you may not look into it." in answer.err
    assert "page or its HTTP API" in answer.err


def test_a_data_folder_that_is_not_there_yet_is_nobody_else_s(reachable: Path) -> None:
    with Installation(Settings(home=reachable / "deep" / "er", backends="cuda")) as installation:
        assert installation.catalogue.selectable()


def test_the_setting_reaches_children_and_is_off_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().team is False
    for name, value in Settings(team=True).as_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings.from_environment().team is True
