"""The password that opens the Prefect server started here, and the keys that sign a browser in."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from infra.serving.prefect_environment import (
    how_to_sign_in,
    lines_for_programs,
    password_of,
    prefect_environment,
    remember_server,
    server_environment,
)
from infra.serving.prefect_password import (
    KEY_COUNTS_FOR_S,
    kept_password,
    make_sign_in_key,
    password_to_start_with,
    spend_sign_in_key,
)
from infra.settings import CHECKOUT, Settings

API_URL = "http://127.0.0.1:1/api"
PASSWORDS = ("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in (*PASSWORDS, "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    return Settings(home=tmp_path)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_password_is_made_once_and_its_owner_alone_can_read_it(settings: Settings) -> None:
    before = os.umask(0)
    try:
        made = password_to_start_with(settings)
    finally:
        os.umask(before)
    assert len(made) > 30
    assert made == password_to_start_with(settings) == kept_password(settings)
    file = settings.home / "secrets" / "prefect-password"
    assert (_mode(file), _mode(file.parent)) == (0o600, 0o700)
    assert [each.name for each in file.parent.iterdir()] == ["prefect-password"]


def test_another_data_folder_has_another_password(settings: Settings, tmp_path: Path) -> None:
    assert password_to_start_with(settings) != password_to_start_with(Settings(home=tmp_path / "another"))


def test_a_password_that_others_could_read_is_replaced_at_the_next_start(settings: Settings) -> None:
    made = password_to_start_with(settings)
    file = settings.home / "secrets" / "prefect-password"
    file.chmod(0o644)
    file.parent.chmod(0o755)
    assert password_to_start_with(settings) != made
    assert (_mode(file), _mode(file.parent)) == (0o600, 0o700)


@pytest.mark.parametrize("name", PASSWORDS)
def test_a_password_of_the_environment_goes_first(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    password_to_start_with(settings)
    monkeypatch.setenv(name, "op:given")
    assert server_environment(settings, API_URL)["PREFECT_SERVER_API_AUTH_STRING"] == "op:given"
    assert prefect_environment(settings, API_URL)["PREFECT_API_AUTH_STRING"] == "op:given"


def test_the_password_goes_to_the_server_that_was_started_here_and_to_no_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = server_environment(settings, API_URL)["PREFECT_SERVER_API_AUTH_STRING"]
    assert made == kept_password(settings)
    remember_server(settings, API_URL)
    assert password_of(settings, API_URL) == made
    assert prefect_environment(settings, API_URL)["PREFECT_API_AUTH_STRING"] == made
    elsewhere = "https://prefect.example/api"
    monkeypatch.setenv("PREFECT_API_URL", elsewhere)
    assert password_of(settings, elsewhere) is None
    assert made not in str(prefect_environment(settings, elsewhere))
    assert lines_for_programs(settings) == [f"export PREFECT_API_URL={elsewhere}"]


def _tmm(settings: Settings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "TMM_"))}
    return subprocess.run(
        [sys.executable, "-m", "infra.main", *arguments],
        env=kept | {"TMM_HOME": str(settings.home), "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_shell_takes_the_lines_for_programs_as_they_are(settings: Settings) -> None:
    made = password_to_start_with(settings)
    remember_server(settings, API_URL)
    lines = _tmm(settings, "env").stdout
    program = f'eval "{lines}"; printf "%s %s" "$PREFECT_API_URL" "$PREFECT_API_AUTH_STRING"'
    done = subprocess.run(["sh", "-c", program], env={}, capture_output=True, text=True, check=True)
    assert done.stdout == f"{API_URL} {made}"


@pytest.mark.parametrize("arguments", [("env",), ("env", "--sign-in")])
def test_without_a_server_there_is_nothing_that_programs_could_reach(
    settings: Settings, arguments: tuple[str, ...]
) -> None:
    done = _tmm(settings, *arguments)
    assert (done.returncode, done.stdout) == (5, "")
    assert "tmm up" in done.stderr


@pytest.mark.parametrize("at", [("stdout", "stderr"), ("stdout",), ("stderr",), ()])
def test_a_terminal_is_shown_a_link_and_a_log_is_not(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, at: tuple[str, ...]
) -> None:
    remember_server(settings, API_URL)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(getattr(sys, name), "isatty", lambda there=name in at: there)
    said = how_to_sign_in(settings)
    shown = said.rpartition("http://127.0.0.1:1/sign-in#")[2] if "#" in said else ""
    assert spend_sign_in_key(settings, shown) == (len(at) == 2)
    assert ("tmm env --sign-in" in said) == (len(at) < 2)


def test_a_key_counts_once(settings: Settings) -> None:
    key, another = make_sign_in_key(settings), make_sign_in_key(settings)
    assert [spend_sign_in_key(settings, key) for _ in range(2)] == [True, False]
    assert spend_sign_in_key(settings, another)
    assert list((settings.home / "secrets" / "sign-in").iterdir()) == []


def test_of_many_who_come_with_one_key_at_once_one_gets_in(settings: Settings) -> None:
    for _ in range(20):
        key = make_sign_in_key(settings)
        together, counted = threading.Barrier(8), []

        def come(key: str = key, together: threading.Barrier = together, counted: list[bool] = counted) -> None:
            together.wait()
            counted.append(spend_sign_in_key(settings, key))

        threads = [threading.Thread(target=come) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(counted) == [False] * 7 + [True]


def test_a_key_counts_for_ten_minutes(settings: Settings) -> None:
    old, older = make_sign_in_key(settings), make_sign_in_key(settings)
    for file in (settings.home / "secrets" / "sign-in").iterdir():
        os.utime(file, times=(0, file.stat().st_mtime - KEY_COUNTS_FOR_S - 1))
    assert not spend_sign_in_key(settings, old)
    make_sign_in_key(settings)
    assert len(list((settings.home / "secrets" / "sign-in").iterdir())) == 1  # the older one went with it
    assert not spend_sign_in_key(settings, older)


@pytest.mark.parametrize("key", ["", "another", "../prefect-password", "/", "x" * 10_000, "\0"])
def test_what_was_not_made_here_is_no_key(settings: Settings, key: str) -> None:
    password_to_start_with(settings)
    assert not spend_sign_in_key(settings, key)
    assert kept_password(settings)


def test_a_key_is_nowhere_written_as_it_is(settings: Settings) -> None:
    key = make_sign_in_key(settings)
    for file in settings.home.rglob("*"):
        assert key not in file.name
        assert not file.is_file() or key not in file.read_text()
