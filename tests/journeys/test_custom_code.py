"""Code of one's own on a real worker: its faults and its cancellation end its own run; the worker takes the next."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from domain.catalogue.method_spec import CUSTOM, Backend
from infra.upkeep.publishing import update_prefect
from infra.wiring import Installation
from tests.adapters.custom_code.test_conformance import GOOD
from tests.journeys.conftest import Machine, eventually

pytestmark = pytest.mark.journey

FAULTS = {
    "raises": ('raise ValueError("no luck")', "ValueError: no luck (method.py, line {line}, in train)"),
    "dies": ("os._exit(7)", "exit code 7"),
    "grabs": ("bytearray(10**15)", "MemoryError:  (method.py, line {line}, in train)"),
    "gives": ('return {"loss": 1}', "must return a TrainingResult, not dict (method.py, line {first}, in train)"),
    "breaks": (
        '(job.folder / "adapter_config.json").write_text("{}"); return TrainingResult(job.folder, True, 1, {})',
        "What the code gave as its result cannot be opened",
    ),
    "loops": (
        '(job.folder / "pid").write_text(str(os.getpid()))\n        progress.step(1, 9, {"loss": 1.0})\n'
        "        while True:\n            pass",
        "",
    ),
}
FAULTY = GOOD.replace(
    "    save_steps: int",
    '    fault: str = Field("", description="Which", json_schema_extra=changes("steps"))\n    save_steps: int',
).replace(
    "    base, trained",
    "    import os\n"
    + "".join(f'    if options.fault == "{fault}":\n        {code}\n' for fault, (code, _) in FAULTS.items())
    + "    base, trained",
)


@pytest.fixture(scope="module")
def faulty(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """custom01 trains with code that does what its option says; afterwards it is as it was."""
    before = put_in_place(machine, tmp_path_factory.mktemp("faulty"), FAULTY)
    yield
    done = machine.tmm("custom", "restore", "custom01", str(before))
    assert done.returncode == 0, done.stderr


def put_in_place(machine: Machine, folder: Path, text: str) -> int:
    """Let custom01 train with this code, unchecked; the version that it had."""
    (folder / "method.py").write_text(text)
    with Installation(machine.settings) as tmm:
        before = tmm.catalogue.method("custom01").version
        code = tmm.workshop.keep(folder, backends=[Backend.CUDA])
        offered = [option.model_dump(mode="json", exclude_none=True) for option in code.options]
        fields = {"code": code.model_dump(mode="json"), "trainer": CUSTOM, "configuration_options": offered}
        tmm.catalogue.modify("custom01", fields, by=tmm.user())
        assert update_prefect(tmm) is None
    return before


def start(machine: Machine, tiny: Path, fault: str) -> UUID:
    """A run, as Prefect's form starts it."""
    deployment = machine.prefect("GET", "/deployments/name/train/custom01-cuda")
    asked = {"dataset": str(tiny), "options": {"fault": fault}}
    return UUID(machine.prefect("POST", f"/deployments/{deployment['id']}/create_flow_run", parameters=asked)["id"])


def line_of(what: str) -> int:
    return next(number for number, line in enumerate(FAULTY.splitlines(), 1) if what in line)


@pytest.mark.usefixtures("faulty")
def test_each_fault_ends_its_own_run_with_file_and_line_and_the_next_run_works(machine: Machine, tiny: Path) -> None:
    ended = [fault for fault in FAULTS if fault != "loops"]
    runs = {fault: start(machine, tiny, fault) for fault in [*ended, ""]}
    for fault in ended:
        run = machine.both_say(runs[fault], "failed", "FAILED", within=120)
        code, words = FAULTS[fault]
        assert words.format(line=line_of(code), first=line_of("def train")) in (run.reason or "")
        assert not run.interrupted
    assert machine.both_say(runs[""], "completed", "COMPLETED").steps == 4


@pytest.mark.usefixtures("faulty")
def test_an_endless_loop_is_cancelled_in_prefect_and_nothing_of_it_is_left(machine: Machine, tiny: Path) -> None:
    run_id = start(machine, tiny, "loops")
    machine.reached(run_id, 1)
    pid = int((machine.home / "runs" / str(run_id) / "pid").read_text())
    assert psutil.Process(pid).is_running()
    machine.prefect(
        "POST", f"/flow_runs/{run_id}/set_state", state={"type": "CANCELLING", "name": "Cancelling"}, force=True
    )
    machine.both_say(run_id, "cancelled", "CANCELLED")
    eventually(lambda: not psutil.pid_exists(pid), within=20, what="the end of the code's process")
    assert machine.both_say(start(machine, tiny, ""), "completed", "COMPLETED").steps == 4
