"""Code of one's own runs apart: whatever it does to its process, the worker lives and says where it went wrong."""

import json
import os
import resource
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from adapters.custom_code.running import CustomTrainer, Limits, facts_of
from domain.errors import BadResult, CustomCodeFailed, InvalidInput
from domain.training import TrainingJob
from tests.adapters.custom_code.conftest import OPTIONS, Steps, Write

pytestmark = pytest.mark.processes

GOOD = (
    OPTIONS
    + """
def train(job, options, progress):
    for step in range(1, options.max_steps + 1):
        progress.step(step, options.max_steps, {"loss": 1.0 / step})
    trained = job.folder / "trained"
    trained.mkdir()
    (trained / "config.json").write_text("{}")
    return TrainingResult(trained, is_adapter=False, steps=options.max_steps, metrics={"loss": 0.5})
"""
)


def line_of(text: str, what: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if what in line)


def test_code_trains_in_a_process_of_its_own(write: Write, job: TrainingJob, limits: Limits) -> None:
    progress = Steps()
    result = CustomTrainer(write(GOOD), limits).train(job, {"max_steps": 4}, progress)
    assert progress.steps == [1, 2, 3, 4]
    assert (result.steps, result.is_adapter, dict(result.metrics)) == (4, False, {"loss": 0.5})
    assert result.folder == job.folder / "trained"


def test_code_trains_for_a_process_that_has_many_files_open(write: Write, job: TrainingJob, limits: Limits) -> None:
    wanted = 1100  # select() knows none beyond 1024
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted + 100:
        pytest.skip("this user may not open so many files")
    with ExitStack() as files:
        for _ in range(wanted):
            files.enter_context(open(os.devnull, "rb"))
        assert CustomTrainer(write(GOOD), limits).train(job, {"max_steps": 1}, Steps()).steps == 1


BAD = {
    "a syntax error": ("def train(job, options, progress:\n    pass\n", "SyntaxError", "def train"),
    "an exception while importing": (OPTIONS + "\n1 / 0\n", "ZeroDivisionError", "1 / 0"),
    "an import that is not there": (
        OPTIONS + "\nimport no_such_library\n",
        "no_such_library",
        "import no_such_library",
    ),
    "an exception while training": (
        OPTIONS
        + "\ndef train(job, options, progress):\n    progress.step(1, 3, {})\n    raise ValueError('no luck')\n",
        "ValueError: no luck",
        "raise ValueError",
    ),
    "an exception in a library that it calls": (
        OPTIONS + "\nimport json\n\ndef train(job, options, progress):\n    json.loads('{')\n",
        "JSONDecodeError",
        "json.loads('{')",
    ),
    "a file that is not there": (
        OPTIONS + "\ndef train(job, options, progress):\n    open('data/nope.csv')\n",
        "No such file or directory: 'data/nope.csv'",
        "open('data",
    ),
    "sys.exit": (
        OPTIONS + "\nimport sys\ndef train(job, options, progress):\n    sys.exit(0)\n",
        "The code called exit (0)",
        "sys.exit(0)",
    ),
    "a recursion without end": (
        OPTIONS + "\ndef train(job, options, progress):\n    return train(job, options, progress)\n",
        "RecursionError",
        "return train",
    ),
    "more memory at once than there is": (
        OPTIONS + "\ndef train(job, options, progress):\n    return bytearray(10**15)\n",
        "MemoryError",
        "bytearray",
    ),
    "no result": (
        OPTIONS + "\ndef train(job, options, progress):\n    progress.step(1, 1, {})\n",
        "must return a TrainingResult, not NoneType",
        "def train",
    ),
    "a result of another shape": (
        OPTIONS + "\ndef train(job, options, progress):\n    return {'loss': 1}\n",
        "must return a TrainingResult, not dict",
        "def train",
    ),
    "a result elsewhere": (
        OPTIONS + "\nfrom pathlib import Path\ndef train(job, options, progress):\n"
        "    return TrainingResult(Path('/'), False, 1, {})\n",
        "must lie in job.folder",
        "def train",
    ),
    "an adapter that cannot be opened": (
        OPTIONS + "\ndef train(job, options, progress):\n    return TrainingResult(job.folder, True, 1, {})\n",
        "holds no adapter_config.json",
        "def train",
    ),
    "no steps": (
        OPTIONS + "\ndef train(job, options, progress):\n    (job.folder / 'config.json').touch()\n"
        "    return TrainingResult(job.folder, False, 0, {})\n",
        "steps of the TrainingResult must be 1 or more",
        "def train",
    ),
    "no train": (OPTIONS, "has no function train(job, options, progress)", None),
    "a train of another shape": (
        OPTIONS + "\ndef train(job): pass\n",
        "train must take (job, options, progress)",
        None,
    ),
    "no options": ("def train(job, options, progress): pass\n", "has no class Options(BaseModel)", None),
}


QUICK = ("a syntax error", "an exception while training", "sys.exit", "a result of another shape")
"""Tried in the inner loop; each fault starts a process, so the others wait for the whole run."""


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, marks=() if fault in QUICK else pytest.mark.training) for fault in BAD]
)
def test_a_fault_is_told_with_the_codes_own_file_and_line(
    write: Write, job: TrainingJob, limits: Limits, fault: str
) -> None:
    text, words, where = BAD[fault]
    with pytest.raises(CustomCodeFailed) as failed:
        CustomTrainer(write(text), limits).train(job, {}, Steps())
    assert words in str(failed.value)
    assert "method.py" in str(failed.value)
    if where is not None:
        assert f"method.py, line {line_of(text, where)}" in str(failed.value)


def test_an_option_of_the_wrong_type_is_named(write: Write, job: TrainingJob, limits: Limits) -> None:
    with pytest.raises(CustomCodeFailed, match=r"max_steps(.|\n)*integer"):
        CustomTrainer(write(GOOD), limits).train(job, {"max_steps": "many"}, Steps())


@pytest.mark.training
def test_what_the_code_raises_on_purpose_keeps_its_meaning(write: Write, job: TrainingJob, limits: Limits) -> None:
    for error in (BadResult, InvalidInput):
        text = f"{OPTIONS}\nfrom domain.training import {error.__name__}\n"
        text += f"def train(job, options, progress):\n    raise {error.__name__}('The loss was nan')\n"
        with pytest.raises(error, match=r"The loss was nan \(method\.py, line \d+, in train\)\."):
            CustomTrainer(write(text), limits).train(job, {}, Steps())


def test_an_endless_loop_is_ended_and_told_by_its_line(write: Write, job: TrainingJob, limits: Limits) -> None:
    text = OPTIONS + "\ndef train(job, options, progress):\n    n = 0\n    while True:\n        n += 1\n"
    with pytest.raises(
        CustomCodeFailed, match=r"reported no step for 2 seconds(.|\n)*method\.py, line 1[0-2], in train"
    ):
        CustomTrainer(write(text), replace(limits, silence_s=2.0)).train(job, {}, Steps())


@pytest.mark.training
def test_a_memory_hog_is_ended_and_told_by_its_line(write: Write, job: TrainingJob, limits: Limits) -> None:
    text = OPTIONS + (
        "\nimport time\ndef train(job, options, progress):\n    kept = []\n    while True:\n"
        "        kept.append(b'x' * 10_000_000)\n        time.sleep(0.02)\n"
    )
    with pytest.raises(
        CustomCodeFailed, match=r"GB of memory; its limit is 0\.5 GB(.|\n)*method\.py, line 1\d, in train"
    ):
        CustomTrainer(write(text), replace(limits, memory_gb=0.5)).train(job, {}, Steps())


@pytest.mark.training
def test_a_bomb_of_threads_is_ended(write: Write, job: TrainingJob, limits: Limits) -> None:
    text = OPTIONS + (
        "\nimport threading, time\ndef train(job, options, progress):\n    while True:\n"
        "        threading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n        time.sleep(0.002)\n"
    )
    with pytest.raises(CustomCodeFailed, match="processes and threads; its limit is 100"):
        CustomTrainer(write(text), replace(limits, tasks=100)).train(job, {}, Steps())


@pytest.mark.training
def test_processes_that_it_starts_are_ended_with_it(write: Write, job: TrainingJob, limits: Limits) -> None:
    text = OPTIONS + (
        "\nimport subprocess\ndef train(job, options, progress):\n"
        "    child = subprocess.Popen(['sleep', '1000'])\n"
        "    (job.folder / 'pid').write_text(str(child.pid))\n    raise ValueError\n"
    )
    with pytest.raises(CustomCodeFailed):
        CustomTrainer(write(text), limits).train(job, {}, Steps())
    must_be_gone(int((job.folder / "pid").read_text()))


@pytest.mark.training
@pytest.mark.parametrize(("end", "how"), [("os._exit(3)", "exit code 3"), ("os.kill(os.getpid(), 9)", "SIGKILL"),
                                          ("os.kill(os.getpid(), 11)", "SIGSEGV")])  # fmt: skip
def test_a_process_that_dies_is_told_as_that(
    write: Write, job: TrainingJob, limits: Limits, end: str, how: str
) -> None:
    text = OPTIONS + f"\nimport os\ndef train(job, options, progress):\n    {end}\n"
    with pytest.raises(CustomCodeFailed, match=f"(with|by) .*{how} and without a result"):
        CustomTrainer(write(text), limits).train(job, {}, Steps())


def test_a_run_that_is_stopped_takes_no_step_more_and_may_tidy_up(
    write: Write, job: TrainingJob, limits: Limits
) -> None:
    text = OPTIONS + (
        "\ndef train(job, options, progress):\n    try:\n        for step in range(1, 1000):\n"
        "            progress.step(step, 1000, {})\n    except Exception:\n        pass\n"
        "    finally:\n        (job.folder / 'tidied').touch()\n"
    )

    class Stop(BaseException):
        pass

    class Stopping(Steps):
        def step(self, step: int, total: int, metrics: object) -> None:
            super().step(step, total, metrics)
            if step == 3:
                raise Stop

    progress = Stopping()
    with pytest.raises(Stop):
        CustomTrainer(write(text), limits).train(job, {}, progress)
    assert progress.steps == [1, 2, 3]
    assert (job.folder / "tidied").exists()


@pytest.mark.training
def test_code_that_will_not_stop_is_made_to(write: Write, job: TrainingJob, limits: Limits) -> None:
    text = OPTIONS + (
        "\nimport time\ndef train(job, options, progress):\n    while True:\n        try:\n"
        "            progress.step(1, 2, {})\n            time.sleep(100)\n"
        "        except BaseException:\n            pass\n"
    )

    class Stopping(Steps):
        def step(self, step: int, total: int, metrics: object) -> None:
            raise RuntimeError("cancelled")

    with pytest.raises(RuntimeError, match="cancelled"):
        CustomTrainer(write(text), replace(limits, grace_s=1.0)).train(job, {}, Stopping())


def test_nothing_of_the_service_is_in_its_environment(
    write: Write, job: TrainingJob, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = ("TMM_DATABASE_URL", "TMM_LICENCES", "PREFECT_API_KEY", "PREFECT_API_URL")
    for name in (*ours, "POSTGRES_PASSWORD", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "MY_PASSWORD"):
        monkeypatch.setenv(name, "planted-secret")
    text = OPTIONS + (
        "\nimport json, os\ndef train(job, options, progress):\n"
        "    (job.folder / 'seen').write_text(json.dumps(dict(os.environ)))\n    raise ValueError\n"
    )
    with pytest.raises(CustomCodeFailed):
        CustomTrainer(write(text), limits).train(job, {}, Steps())
    seen = json.loads((job.folder / "seen").read_text())
    assert "planted-secret" not in str(seen)
    assert not {name for name in seen if name.startswith(("TMM_", "PREFECT_"))}
    assert Path(seen["HOME"]).is_relative_to(job.folder)


@pytest.mark.training
def test_it_inherits_no_open_file_of_the_worker(write: Write, job: TrainingJob, limits: Limits, tmp_path: Path) -> None:
    with (tmp_path / "database").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        text = OPTIONS + (
            "\nimport os\ndef train(job, options, progress):\n"
            "    seen = [os.path.realpath(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')]\n"
            "    (job.folder / 'seen').write_text('|'.join(seen))\n"
            "    raise ValueError\n"
        )
        with pytest.raises(CustomCodeFailed):
            CustomTrainer(write(text), limits).train(job, {}, Steps())
    assert "database" not in (job.folder / "seen").read_text()


def test_what_it_prints_is_kept_beside_the_run(write: Write, job: TrainingJob, limits: Limits) -> None:
    CustomTrainer(
        write(GOOD.replace("    trained.mkdir()", "    trained.mkdir()\n    print('here I am')")), limits
    ).train(job, {}, Steps())
    assert "here I am" in (job.folder / "output.log").read_text()


@pytest.mark.training
def test_files_beside_the_method_can_be_imported(write: Write, job: TrainingJob, limits: Limits) -> None:
    folder = write("from beside import Options, train\n")
    (folder / "beside.py").write_text(GOOD)
    assert CustomTrainer(folder, limits).train(job, {}, Steps()).steps == 3


@pytest.mark.training
def test_the_next_run_works_after_a_bad_one(write: Write, job: TrainingJob, limits: Limits) -> None:
    with pytest.raises(CustomCodeFailed):
        CustomTrainer(write("import os; os._exit(1)"), limits).train(job, {}, Steps())
    assert CustomTrainer(write(GOOD), limits).train(job, {}, Steps()).steps == 3


def test_a_false_message_on_the_pipe_is_found_out(write: Write, job: TrainingJob, limits: Limits) -> None:
    text = OPTIONS + (
        "\nimport os, sys\ndef train(job, options, progress):\n"
        '    told = \'{"result": {"folder": "/", "is_adapter": false, "steps": 1, "metrics": {}}}\'\n'
        "    os.write(int(sys.argv[2]), told.encode() + b'\\n')\n"
        "    import time; time.sleep(60)\n"
    )
    with pytest.raises(CustomCodeFailed, match="a result that is none"):
        CustomTrainer(write(text), replace(limits, grace_s=0.2)).train(job, {}, Steps())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it ends at its next step")
def test_it_dies_with_the_process_that_runs_it(write: Write, job: TrainingJob) -> None:
    folder = write(
        OPTIONS + "\nimport os, time\ndef train(job, options, progress):\n"
        "    (job.folder / 'pid').write_text(str(os.getpid()))\n    time.sleep(1000)\n"
    )
    worker = (
        "import json, sys; from pathlib import Path; from adapters.custom_code.running import Limits, in_a_process\n"
        "task = {'do': 'train', 'code': sys.argv[1], 'options': {}, 'job': json.loads(sys.argv[2])}\n"
        "in_a_process(task, folder=Path(sys.argv[3]), limits=Limits(1.0, 60.0))\n"
    )
    facts = json.dumps(facts_of(job))
    process = subprocess.Popen([sys.executable, "-c", worker, str(folder), facts, str(job.folder)])
    deadline = time.monotonic() + 30
    while not (job.folder / "pid").exists() or not (job.folder / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    must_be_gone(int((job.folder / "pid").read_text()))


def must_be_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.05)
