"""Where Prefect is served, what keeps its records, and the password that opens it."""

import os
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from domain.errors import InvalidSettings
from infra.serving.prefect_environment import as_prefect_names_it, asking, prefect_environment, server_environment
from infra.serving.supervisor import Supervisor, bound_socket
from infra.settings import CHECKOUT, Settings
from infra.upkeep.doctor import describe_settings

SECRET = "speak-friend"
API_URL = "http://127.0.0.1:1/api"


@pytest.fixture(autouse=True)
def no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("ours", "prefects"),
    [
        ("postgresql://tmm@db.example:5433/prefect", "postgresql+asyncpg://tmm@db.example:5433/prefect"),
        ("postgres://tmm:a%40b@db/prefect", "postgresql+asyncpg://tmm:a%40b@db/prefect"),
        ("postgresql://tmm@/prefect?host=/run/postgres", "postgresql+asyncpg://tmm@/prefect?host=/run/postgres"),
        ("postgresql://tmm@db/prefect?sslmode=require", "postgresql+asyncpg://tmm@db/prefect?ssl=require"),
    ],
)
def test_a_database_is_named_as_prefects_driver_wants_it(ours: str, prefects: str) -> None:
    assert as_prefect_names_it(ours) == prefects


def test_the_server_alone_is_told_its_database_and_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", f"tmm:{SECRET}")
    settings = Settings(home=tmp_path, prefect_database_url="postgresql://tmm:pw@db/prefect")
    server, others = server_environment(settings, API_URL), prefect_environment(settings, API_URL)
    assert server["PREFECT_SERVER_API_AUTH_STRING"] == others["PREFECT_API_AUTH_STRING"] == f"tmm:{SECRET}"
    assert server.keys() - others.keys() == {
        "PREFECT_SERVER_API_AUTH_STRING",
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT",
        "PREFECT_UI_API_URL",
        *("TMM_HOME", "TMM_PREFECT_HOST", "TMM_PREFECT_NAMES"),
    }
    assert asking(API_URL).get_header("Authorization") == "Basic dG1tOnNwZWFrLWZyaWVuZA=="


def test_without_a_password_none_is_sent(tmp_path: Path) -> None:
    assert "PREFECT_API_AUTH_STRING" not in prefect_environment(Settings(home=tmp_path), API_URL)
    assert asking(API_URL).get_header("Authorization") is None


def test_without_tls_clients_read_a_single_certificate_and_with_it_what_the_user_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_SSL_CERT_FILE", "/etc/ours.pem")
    settings = Settings(home=tmp_path)
    single = prefect_environment(settings, API_URL)["PREFECT_API_SSL_CERT_FILE"]
    assert len(ssl.create_default_context(cafile=single).get_ca_certs()) == 1
    theirs = prefect_environment(settings, API_URL.replace("http:", "https:"))
    assert theirs["PREFECT_API_SSL_CERT_FILE"] == "/etc/ours.pem"


def test_passwords_in_addresses_are_never_shown(tmp_path: Path) -> None:
    secret = f"postgresql://tmm:{SECRET}@db/prefect"
    settings = Settings(home=tmp_path, prefect_database_url=secret)
    assert SECRET not in repr(settings)
    assert SECRET not in str(describe_settings(settings))
    refused = subprocess.run(
        [sys.executable, "-m", "infra.main", "list"],
        env=os.environ
        | {"TMM_PREFECT_DATABASE_URL": secret.replace("postgresql", "mysql"), "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert "TMM_PREFECT_DATABASE_URL: must start with postgresql://" in refused.stderr
    assert SECRET not in refused.stderr


def test_a_proxys_names_are_read_from_the_environment_and_reach_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMM_HOME", str(tmp_path))
    monkeypatch.setenv("TMM_PREFECT_NAMES", "prefect.example, other.example:8443")
    settings = Settings.from_environment()
    assert settings.prefect_names == ("prefect.example", "other.example:8443")
    assert server_environment(settings, API_URL)["TMM_PREFECT_NAMES"] == "prefect.example,other.example:8443"


@pytest.mark.parametrize("name", ["https://prefect.example", "prefect.example/ui", "*", "prefect example"])
def test_a_proxy_is_not_named_by_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="must be names without a scheme or a path"):
        Settings(prefect_names=(name,))


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "http://first.example"])
def test_a_host_that_no_other_machine_could_name_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="the name or the IPv4 address"):
        Settings(prefect_host=host)


def test_prefect_is_served_where_it_is_wanted_and_at_a_free_port_if_that_is_taken() -> None:
    with bound_socket("localhost", 0) as first:
        port = first.getsockname()[1]
        with bound_socket("127.0.0.1", port) as second:
            assert second.getsockname()[1] not in (0, port)


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
def test_a_host_that_is_not_this_machine_is_refused(host: str) -> None:
    with pytest.raises(InvalidSettings, match=f"cannot be served at {host}"):
        bound_socket(host, 0)


@pytest.mark.processes
def test_what_ended_is_started_again_while_somebody_waits_for_it(tmp_path: Path) -> None:
    said: list[str] = []

    def wait() -> None:
        deadline = time.monotonic() + 30
        while not said and time.monotonic() < deadline:
            time.sleep(0.1)
        raise KeyboardInterrupt

    with Supervisor(Settings(home=tmp_path), say=said.append) as supervisor:
        supervisor._start("ends", ["at once"], {})
        with pytest.raises(KeyboardInterrupt):
            supervisor.watch(wait)
    assert said == ["The process ends ended by itself (exit 1) and is started again."]


@pytest.mark.processes
def test_what_cannot_be_started_at_the_moment_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.serving.supervisor._NOT_AGAIN_WITHIN_S", 0.1)
    said: list[str] = []
    ended = "The process ends ended by itself (exit 1) and is started again."

    def wait() -> None:
        if len(said) == 2:
            monkeypatch.setattr(sys, "executable", python)
        if said.count(ended) > 2 or time.monotonic() > deadline:
            raise KeyboardInterrupt

    with Supervisor(Settings(home=tmp_path), say=said.append) as supervisor:
        supervisor._start("ends", ["at once"], {})
        python, deadline = sys.executable, time.monotonic() + 60
        monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
        with pytest.raises(KeyboardInterrupt):
            supervisor.watch(wait)
    failed = f"The process ends could not be started: [Errno 2] No such file or directory: '{tmp_path}/no-python'."
    assert said[0] == ended
    assert said[1].startswith(failed)
    assert said[-1] == ended


LOCKED = """
import gc, sqlite3, sys, threading

from infra.serving.prefect_process import collect_garbage_beside

if sys.argv[2] == "beside":
    collect_garbage_beside()
holds, waits = (sqlite3.connect(sys.argv[1], isolation_level=None, check_same_thread=False) for _ in range(2))
holds.execute("PRAGMA journal_mode = WAL")
holds.execute("CREATE TABLE runs (state)")
holds.execute("BEGIN IMMEDIATE")


class Error:
    pass


error = Error()
error.itself, error.cursor = error, waits.cursor()  # as in a traceback
waits.execute("PRAGMA busy_timeout = 0")
try:
    error.cursor.execute("DELETE FROM runs")
except sqlite3.OperationalError:
    del error
waits.execute("PRAGMA busy_timeout = 5000")


def wait():
    try:
        waits.execute("DELETE FROM runs")
        print("done")
    except sqlite3.OperationalError as error:
        print(error)


waiting = threading.Thread(target=wait)
waiting.start()
waiting.join(0.5)
answered = [[number] for number in range(100_000)]  # as much as lets Python look for garbage
waiting.join(1.5)  # so does the thread beside
holds.execute("COMMIT")
waiting.join()
"""


@pytest.mark.processes
@pytest.mark.parametrize(("who", "says"), [("beside", "done"), ("itself", "database is locked")])
def test_the_thread_that_answers_never_waits_for_a_connection_whose_cursor_is_garbage(
    tmp_path: Path, who: str, says: str
) -> None:
    """`itself` is what Python does otherwise: the day that it says `done`, nothing has to be done about it here."""
    done = subprocess.run(
        [sys.executable, "-c", LOCKED, str(tmp_path / "prefect.db"), who],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == says
