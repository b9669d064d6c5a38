"""Code of one's own sees its folder, its data and its model, and of the machine and the service nothing else."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from adapters.custom_code.running import CustomTrainer, Limits
from adapters.shared import confinement
from domain.errors import CustomCodeFailed
from domain.training import TrainingJob
from tests.adapters.custom_code.conftest import OPTIONS, Steps, Write

pytestmark = pytest.mark.processes

CONFINED = pytest.mark.skipif(bool(confinement.missing()), reason=confinement.missing())

TRYING = (
    OPTIONS
    + """
import json, os

def train(job, options, progress):
    told = {}
    def tried(what, do):
        try:
            told[what] = f"did it: {do()!r}"[:200]
        except BaseException as error:
            told[what] = type(error).__name__
    ATTEMPTS
    trained = job.folder / "trained"
    trained.mkdir(exist_ok=True)
    (trained / "config.json").write_text("{}")
    (job.folder / "told.json").write_text(json.dumps(told))
    return TrainingResult(trained, is_adapter=False, steps=1, metrics={})
"""
)


def told(write: Write, job: TrainingJob, limits: Limits, attempts: str) -> dict[str, str]:
    """What came of these attempts of the code: the error's name, or that it worked."""
    code = write(TRYING.replace("ATTEMPTS", attempts.strip().replace("\n", "\n    ")))
    CustomTrainer(code, limits).train(job, {}, Steps())
    answers: dict[str, str] = json.loads((job.folder / "told.json").read_text())
    return answers


@pytest.fixture
def listening() -> Iterator[int]:
    """A port of this machine at which somebody listens, as Prefect's server does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@CONFINED
def test_it_reads_and_writes_nothing_that_is_not_its_own(
    write: Write, job: TrainingJob, limits: Limits, tmp_path: Path
) -> None:
    home = tmp_path / "home of the service"
    secrets = [home / name for name in ("tmm.sqlite", "licences/l.jws", "trust-store/k.pem", "secrets/prefect")]
    for secret in secrets:
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_text("planted-secret")
        secret.chmod(0o600)
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")

    answers = told(
        write,
        replace(job, base_model=str(model)),
        limits,
        f"""
for path in {[str(secret) for secret in secrets]}:
    tried(f"read {{path}}", lambda: open(path).read())
    tried(f"write {{path}}", lambda: open(path, "w"))
    tried(f"remove {{path}}", lambda: os.remove(path))
    tried(f"link {{path}}", lambda: os.link(path, job.folder / "link"))
    tried(f"symlink {{path}}", lambda: os.symlink(path, job.folder / "symlink"))
    os.chmod(path, 0o644)
tried("list the service's home", lambda: os.listdir({str(home)!r}))
tried("shadow", lambda: open("/etc/shadow").read())
tried("home", lambda: os.listdir({str(Path.home())!r}))
tried("temporary files of others", lambda: os.listdir("/tmp"))
tried("write outside", lambda: open({str(tmp_path / "outside")!r}, "w"))
tried("the worker's environment", lambda: open(f"/proc/{{os.getppid()}}/environ").read())
tried("the worker's memory", lambda: open(f"/proc/{{os.getppid()}}/mem", "rb"))
tried("its code", lambda: os.listdir(os.path.dirname(__file__)))
tried("its model", lambda: open(job.base_model + "/config.json").read())
tried("change its model", lambda: open(job.base_model + "/config.json", "w"))
tried("its folder", lambda: (job.folder / "mine").write_text("x"))
""",
    )

    mine = {"its code", "its model", "its folder"}
    assert {what for what, came in answers.items() if came.startswith("did it")} == mine
    # A hard link to what it may not read is answered as one to another disk.
    refusals = {came for what, came in answers.items() if what not in mine and not what.startswith("link")}
    assert refusals == {"PermissionError"}
    assert all(secret.read_text() == "planted-secret" for secret in secrets)
    assert {secret.stat().st_mode & 0o777 for secret in secrets} == {0o600}


@CONFINED
def test_it_reaches_nobody(write: Write, job: TrainingJob, limits: Limits, tmp_path: Path, listening: int) -> None:
    with socket.socket(socket.AF_UNIX) as database:
        database.bind(str(tmp_path / "database.sock"))
        database.listen()
        answers = told(
            write,
            job,
            limits,
            f"""
import signal, socket
tried("Prefect", lambda: socket.create_connection(("127.0.0.1", {listening}), timeout=5))
tried("a datagram", lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
tried("listen", lambda: socket.create_server(("127.0.0.1", 0)))
tried("a database beside it", lambda: socket.socket(socket.AF_UNIX).connect({str(tmp_path / "database.sock")!r}))
pair = lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
tried("datagrams from a pair", pair)
tried("end the worker", lambda: os.kill({os.getpid()}, signal.SIGTERM))
import resource
tried("limit the worker", lambda: resource.prlimit({os.getpid()}, resource.RLIMIT_CPU))
tried("talk to its own", lambda: socket.socketpair()[0].close())
""",
        )

    assert answers.pop("talk to its own").startswith("did it")
    assert set(answers.values()) == {"PermissionError"}


@CONFINED
def test_what_it_starts_is_confined_as_well(write: Write, job: TrainingJob, limits: Limits) -> None:
    answers = told(
        write,
        job,
        limits,
        """
import subprocess, sys
run = lambda *command: subprocess.run(command, check=True, capture_output=True).stdout
tried("a program", lambda: run("cat", "/etc/shadow"))
tried("a Python", lambda: run(sys.executable, "-c", "import os; os.listdir('/root')"))
tried("a Python that does what it may", lambda: run(sys.executable, "-c", "import json; print(json.dumps(1))"))
""",
    )
    assert answers.pop("a Python that does what it may").startswith("did it")
    assert set(answers.values()) == {"CalledProcessError"}


@CONFINED
def test_a_kernel_with_the_first_landlock_confines_it_too(
    write: Write, job: TrainingJob, limits: Limits, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("planted-secret")
    program = f"""
import os
from pathlib import Path
from adapters.shared import confinement
confinement.version = lambda: 1
confinement.confine(reads=[], writes=[Path({str(job.folder)!r})])
for do in (lambda: open({str(tmp_path / "secret")!r}), lambda: os.truncate({str(tmp_path / "secret")!r}, 0)):
    try:
        do()
    except PermissionError:
        continue
    raise SystemExit("it could")
(Path({str(job.folder)!r}) / "mine").write_text("x")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert (tmp_path / "secret").read_text() == "planted-secret"
    assert (job.folder / "mine").exists()


@CONFINED
def test_what_is_refused_is_told_with_the_line_and_with_what_it_may(
    write: Write, job: TrainingJob, limits: Limits
) -> None:
    text = OPTIONS + "\ndef train(job, options, progress):\n    open('/etc/shadow')\n"
    with pytest.raises(CustomCodeFailed, match=r"writes below job\.folder, and uses no network \(method\.py, line 9"):
        CustomTrainer(write(text), limits).train(job, {}, Steps())


@CONFINED
def test_code_that_cannot_be_confined_although_the_kernel_can_is_not_run(
    write: Write, job: TrainingJob, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    from adapters.custom_code import running

    bounds = running.bounds_of
    monkeypatch.setattr(running, "bounds_of", lambda *given: bounds(*given) | {"reads": [3]})
    with pytest.raises(CustomCodeFailed, match="ended with exit code 1"):
        CustomTrainer(write(TRYING), limits).train(job, {}, Steps())


@pytest.mark.parametrize("confined", [pytest.param(True, marks=CONFINED), False], ids=["confined", "not confined"])
def test_limits_and_a_bare_environment_hold_with_and_without(
    write: Write, job: TrainingJob, limits: Limits, confined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not confined:
        monkeypatch.setattr(confinement, "missing", lambda: "it is switched off for this test")
    ours = ("TMM_DATABASE_URL", "PREFECT_API_AUTH_STRING", "HF_TOKEN", "SSH_AUTH_SOCK", "PYTHONSTARTUP")
    for name in ours:
        monkeypatch.setenv(name, "planted-secret")
    before = set(psutil.pids())

    answers = told(
        write,
        job,
        replace(limits, file_gb=0.001),
        """
tried("environment", lambda: dict(os.environ))
tried("a hundred gigabytes", lambda: bytearray(100 * 2**30))
tried("a large file", lambda: (job.folder / "large").write_bytes(bytes(10 * 2**20)))
tried("a raised limit", lambda: __import__("resource").setrlimit(__import__("resource").RLIMIT_FSIZE, (2**40, 2**40)))
import subprocess
held = lambda: open("/proc/self/status").read().split("CapEff:")[1].split()[0]
tried("capabilities", held)
""",
    )

    assert "planted-secret" not in answers["environment"]
    assert answers["a hundred gigabytes"] == "MemoryError"
    assert answers["a large file"] == "OSError"
    assert answers["a raised limit"] in ("ValueError", "PermissionError")
    assert int(answers["capabilities"].split("'")[1], 16) in (0, 2)
    assert not [pid for pid in set(psutil.pids()) - before if _is_of(pid, job)]


@pytest.mark.parametrize("confined", [pytest.param(True, marks=CONFINED), False], ids=["confined", "not confined"])
def test_a_bomb_of_processes_is_ended_with_all_that_hid_from_it(
    write: Write, job: TrainingJob, limits: Limits, confined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not confined:
        monkeypatch.setattr(confinement, "missing", lambda: "it is switched off for this test")
    text = OPTIONS + (
        "\nimport os, time\ndef train(job, options, progress):\n"
        "    for _ in range(400):\n"  # enough to be seen, and no more if nobody ends them
        "        if os.fork() == 0:\n"
        "            os.setsid()\n"
        "            if os.fork() == 0:\n"
        "                time.sleep(60)\n"
        "            os._exit(0)\n"
        "        time.sleep(0.002)\n"
        "    time.sleep(60)\n"
    )
    with pytest.raises(CustomCodeFailed, match="processes and threads; its limit is 60"):
        CustomTrainer(write(text), replace(limits, tasks=60, memory_gb=20.0)).train(job, {}, Steps())
    assert [pid for pid in psutil.pids() if _is_of(pid, job)] == []


def _is_of(pid: int, job: TrainingJob) -> bool:
    """Whether a process works in the run's folder."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(job.folder)
    except psutil.Error:
        return False


def test_what_it_leaves_in_its_folder_is_not_imported_by_the_next_process(
    write: Write, job: TrainingJob, limits: Limits
) -> None:
    for place in ("json.py", "ctypes.py", "home/.local/lib/python3.11/site-packages/usercustomize.py"):
        path = job.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(job.folder / 'imported')!r}, 'w')")
    assert told(write, job, limits, "tried('nothing', lambda: None)")
    assert not (job.folder / "imported").exists()
