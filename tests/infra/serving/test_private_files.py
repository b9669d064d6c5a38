"""What this service keeps is its user's alone, from the start and after an older version; what they share is not."""

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from adapters.artifacts.artifact_store import Artifacts
from adapters.shared import privacy
from infra.protection.closing import close_to_others
from infra.serving.supervisor import PAGE, SERVER, Supervisor
from infra.settings import CHECKOUT, Settings

NOBODY = 65534


def tmm(home: Path, *args: str, cwd: Path = CHECKOUT, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "infra.main", *args],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT), "TMM_HOME": str(home), "TMM_BACKENDS": "cuda"} | environment,
        cwd=cwd,
        umask=0o022,
        capture_output=True,
        text=True,
        check=True,
    )


def open_to_others(folder: Path) -> dict[str, str]:
    """What of a folder anybody but its owner may do something with, and its mode."""
    everything = [folder, *folder.rglob("*")]
    modes = {str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode) for path in everything}
    return {name: oct(mode) for name, mode in modes.items() if mode & 0o077}


def mode_of(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user of the machine may look into, as /home/alice often is."""
    with tempfile.TemporaryDirectory(prefix="tmm-reachable-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_what_commands_make_in_the_data_folder_is_its_users_alone_from_the_start(reachable: Path) -> None:
    home = reachable / "home"
    tmm(home, "list")
    tmm(home, "audit", "checkpoint")
    tmm(home, "licence", "keygen", "--out", str(reachable / "keys"))
    tmm(home, "licence", "trust", str(reachable / "keys" / "public.pem"))
    tmm(home, "token", "trust", str(reachable / "keys" / "public.pem"))
    tmm(home, "custom", "new", "custom01", cwd=reachable)
    assert {path.name for path in home.iterdir()} >= {"tmm.sqlite", "trust-store", "acting-keys", "checkpoint-key"}
    assert open_to_others(home) == {}


def test_what_people_name_is_as_readable_as_all_that_they_write(reachable: Path) -> None:
    home, export = reachable / "home", reachable / "log.jsonl"
    tmm(home, "audit", "export", str(export))
    tmm(home, "custom", "new", "custom01", cwd=reachable)
    assert mode_of(export) == mode_of(export.with_name("log.jsonl.manifest.json")) == oct(0o644)
    assert mode_of(reachable / "custom01") == oct(0o755)
    assert mode_of(reachable / "custom01" / "method.py") == oct(0o644)


def _yesterdays(home: Path) -> list[Path]:
    """A data folder as an older version left it: open to everybody; its files."""
    names = (
        "prefect/prefect.db",
        "logs/prefect-server.log",
        "runs/1/metrics.jsonl",
        "artifacts/1/run.json",
        "tmm.sqlite-wal",
    )
    files = [home / name for name in names]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("of nobody's business")
        file.chmod(0o644)
    for folder in (home, *(path for path in home.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    return files


def _read_by_another(file: Path) -> bool:
    """Whether another user of this machine can read the file."""
    done = subprocess.run(
        ["cat", str(file)], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, check=False
    )
    return done.returncode == 0


def test_an_installation_of_yesterday_is_closed_by_the_next_command(reachable: Path) -> None:
    home = reachable / "home"
    tmm(home, "list")
    files = [*_yesterdays(home), home / "tmm.sqlite"]
    (home / "tmm.sqlite").chmod(0o644)
    if os.getuid() == 0:
        assert all(map(_read_by_another, files))
    tmm(home, "list")
    assert open_to_others(home) == {}
    if os.getuid() == 0:
        assert not any(map(_read_by_another, files))


def test_what_lies_open_in_a_closed_folder_is_closed_when_processes_are_started(reachable: Path) -> None:
    settings = Settings(home=reachable / "home", backends="cuda")
    files = _yesterdays(settings.home)
    settings.home.chmod(0o700)
    close_to_others(settings)
    assert mode_of(files[0]) == oct(0o644)  # a command need not look into what nobody comes to
    with Supervisor(settings, print):
        assert open_to_others(settings.home) == {}


def test_links_datasets_and_what_belongs_to_somebody_else_stay_as_they_are(reachable: Path) -> None:
    settings = Settings(home=reachable / "home", backends="cuda")
    _yesterdays(settings.home)
    outside, rows = reachable / "outside", settings.datasets / "rows.jsonl"
    outside.write_text("somebody reads this")
    (settings.home / "runs" / "link").symlink_to(outside)
    rows.parent.mkdir()
    rows.write_text("{}")
    for file in (outside, rows):
        file.chmod(0o644)
    if os.getuid() == 0:
        (settings.home / "logs").chmod(0o755)
        os.chown(settings.home / "logs", NOBODY, NOBODY)
    close_to_others(settings)
    assert mode_of(outside) == mode_of(rows) == oct(0o644)
    assert mode_of(settings.home) == oct(0o700)
    if os.getuid() == 0:
        assert mode_of(settings.home / "logs") == oct(0o755)
        os.chown(settings.home, NOBODY, NOBODY)
        settings.home.chmod(0o755)
        close_to_others(settings, thoroughly=True)
        assert mode_of(settings.home) == oct(0o755)


@pytest.mark.parametrize("why", ["a user's own folder", "a folder for everybody"])
def test_a_folder_that_serves_other_ends_too_stays_open_and_what_is_ours_in_it_does_not(
    reachable: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    settings = Settings(home=reachable / "home", backends="cuda")
    files = _yesterdays(settings.home)
    other = settings.home / "photographs" / "me.jpg"
    other.parent.mkdir()
    other.write_text("look")
    if why == "a user's own folder":
        monkeypatch.setenv("HOME", str(settings.home))
    else:
        settings.home.chmod(0o1777)
    before = {path: mode_of(path) for path in (settings.home, other.parent, other)}
    close_to_others(settings)
    assert {path: mode_of(path) for path in before} == before
    assert not any(file.stat().st_mode & 0o077 for file in files)
    assert not any((settings.home / name).stat().st_mode & 0o077 for name in ("prefect", "logs", "runs", "artifacts"))


@pytest.fixture
def to_oneself(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process as our processes are: it keeps what it writes to itself."""
    before = os.umask(0o022)
    monkeypatch.setattr(privacy, "_given", None)
    privacy.keep_to_oneself()
    yield
    os.umask(before)


def _trained(folder: Path) -> Path:
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.mark.parametrize("there", ["made before", "made now"])
def test_models_in_a_shared_folder_are_as_readable_as_that_folder_and_others_are_not(
    reachable: Path, to_oneself: None, there: str
) -> None:
    trained, shared = _trained(reachable / "trained"), reachable / "shared" / "artifacts"
    if there == "made before":
        shared.mkdir(parents=True)
        shared.parent.chmod(0o750)
        shared.chmod(0o750)
    elsewhere = Path(Artifacts(str(shared), shared=True).store(UUID(int=1), trained)[0])
    folder, file = (0o750, 0o640) if there == "made before" else (0o755, 0o644)
    assert mode_of(shared) == mode_of(elsewhere) == mode_of(elsewhere / "parts") == oct(folder)
    assert mode_of(elsewhere / "parts" / "model.safetensors") == oct(file)
    at_home = Path(Artifacts(str(reachable / "home" / "artifacts")).store(UUID(int=1), trained)[0])
    assert open_to_others(at_home.parent.parent) == {}


def test_code_in_a_shared_folder_is_as_readable_as_that_folder(reachable: Path, to_oneself: None) -> None:
    from adapters.custom_code.code_store import Code, CodeStore

    code = Code({"method.py": b"x = 1"})
    kept = CodeStore(str(reachable / "shared"), reachable / "cache", shared=True).keep(code)
    assert mode_of(reachable / "shared" / "code" / f"{kept}.zip") == oct(0o644)
    CodeStore(str(reachable / "home" / "artifacts"), reachable / "home" / "cache").keep(code)
    assert open_to_others(reachable / "home") == {}


@pytest.mark.parametrize(
    ("artifacts", "shares"),
    [("", False), ("{home}/artifacts/deeper", False), ("/mnt/shared", True), ("s3://b/x", True)],
)
def test_models_are_shared_where_they_do_not_lie_in_the_data_folder(
    tmp_path: Path, artifacts: str, shares: bool
) -> None:
    settings = Settings(home=tmp_path, artifacts=artifacts.format(home=tmp_path))
    assert settings.shares_artifacts is shares


@pytest.mark.processes
def test_a_prefect_server_keeps_its_records_and_logs_to_its_user(reachable: Path) -> None:
    settings = Settings(home=reachable / "home", backends="cuda")
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    ours |= {
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONUNBUFFERED": "1",
        "TMM_PREFECT_PORT": "0",
        "TMM_WEB_PORT": "0",
        **_home(settings),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "infra.main", "up", "--no-worker"],
        env=ours,
        umask=0o022,
        stdout=subprocess.PIPE,
        text=True,
    ) as up:
        try:
            assert up.stdout is not None
            assert up.stdout.readline().startswith("The Training Methods page is at")
            assert up.stdout.readline().startswith("The Prefect UI is at")
            logs = [settings.logs / f"{name}.log" for name in (SERVER, PAGE)]
            there = [settings.prefect_home / "prefect.db", *logs, settings.sqlite_file, settings.home / "page.json"]
            assert all(file.exists() for file in there)
            assert open_to_others(settings.home) == {}
            if os.getuid() == 0:
                assert not any(map(_read_by_another, there))
        finally:
            up.terminate()


def _home(settings: Settings) -> dict[str, str]:
    return {"TMM_HOME": str(settings.home), "TMM_BACKENDS": "cuda"}
