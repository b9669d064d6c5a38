"""One training in several processes ends as it does in one, also after an interruption, and leaves nothing behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from adapters.trainers import declarations
from adapters.trainers.torch.distributed import processes as several_processes
from domain.catalogue.preinstalled import GRPO_DEMO
from domain.errors import BadResult, InvalidConfigurationOptions, MachineMissing
from domain.training import Meeting, TrainingJob, TrainingResult
from tests.adapters.trainers import aborting_at_exit
from tests.adapters.trainers.running import Recorded, job, killed, pairs, rows, trained, weights

pytestmark = pytest.mark.training

HOW: dict[str, Any] = {"max_steps": 4, "batch_size": 8, "learning_rate": 1e-3, "save_steps": 2}


class Stopping(Recorded):
    """Stops the run at a step, as a cancellation does; or ends one of its processes there."""

    def __init__(self, *, stop_at: int | None = None, kill_at: int | None = None, where: str = "") -> None:
        super().__init__()
        self._stop_at, self._end_one_at, self._where = stop_at, kill_at, where

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        super().step(step, total, metrics)
        if step == self._stop_at:
            raise KeyboardInterrupt
        if step == self._end_one_at:
            os.kill(under_way(self._where)[-1].pid, signal.SIGKILL)


def under_way(where: str = "") -> list[psutil.Process]:
    """The processes of a training that live; on another machine those of the folder with this name."""
    children = psutil.Process().children(recursive=bool(where))
    lines = {child: " ".join(child.cmdline()) for child in children}
    return [
        child for child, line in lines.items() if "adapters.trainers.torch.distributed.rank" in line and where in line
    ]


def furthest_apart(one: TrainingResult, other: TrainingResult) -> float:
    """The largest difference between two weights of the same place."""
    from safetensors.torch import load_file

    (file,), (beside,) = (sorted(result.folder.glob("*.safetensors")) for result in (one, other))
    ones, others = load_file(file), load_file(beside)
    assert ones.keys() == others.keys()
    return max(float((ones[name] - others[name]).abs().max()) for name in ones)


ANOTHER_MACHINE = """
import json, sys
from dataclasses import replace
from pathlib import Path
from adapters.trainers import load
from adapters.trainers.torch.distributed import processes as several_processes
from domain.catalogue.preinstalled import GRPO_DEMO
from domain.training import Meeting
from tests.adapters.trainers.running import job, rows
trainer, folder, port, options = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
module = load(trainer)
share = replace(job(folder, rows("sft-demo", first=64), device="cpu"), meeting=Meeting("127.0.0.1", port, 2, 1))
several_processes.take_part(module.__name__, share, module.Options(**options), goes_on=lambda: True)
"""


@contextmanager
def beside_another_machine(trainer: str, lead: TrainingJob, folder: Path, **how: Any) -> Iterator[TrainingJob]:
    """The job of a machine that leads, and another one that takes part, with a folder of its own.

    It knows of checkpoints what was brought to it.
    """
    port = several_processes.free_port()
    shutil.rmtree(folder, ignore_errors=True)
    if (newest := lead.checkpoints.newest()) is not None:
        shutil.copytree(newest[1], folder / "checkpoints" / newest[1].name)
    other = [trainer, str(folder), str(port), json.dumps(how)]
    with subprocess.Popen(
        [sys.executable, "-c", ANOTHER_MACHINE, *other], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield replace(lead, meeting=Meeting("127.0.0.1", port, 2, 0))
        except BaseException:
            assert "The training ended before this share of it was done." in process.communicate(timeout=60)[1]
            raise
        assert process.wait(60) == 0, process.communicate()[1]


@pytest.mark.parametrize(
    ("trainer", "own"),
    [
        pytest.param("sft", {"machines": 2}, id="sft on two machines"),
        pytest.param("sft", {"processes": 2}, id="sft", marks=pytest.mark.full),
        pytest.param("sft", {"processes": 2, "gradient_accumulation_steps": 2}, id="in parts", marks=pytest.mark.full),
        pytest.param("peft", {"processes": 2, "lora_dropout": 0.0}, id="peft", marks=pytest.mark.full),
        pytest.param("dpo", {"processes": 2}, id="dpo", marks=pytest.mark.full),
        pytest.param("dpo", {"processes": 2, "adapter": "lora"}, id="dpo of an adapter", marks=pytest.mark.full),
        pytest.param("reward", {"processes": 2}, id="reward", marks=pytest.mark.full),
    ],
)
def test_two_processes_that_were_stopped_and_went_on_end_as_one_that_was_not(
    trainer: str, own: dict[str, Any], tmp_path: Path
) -> None:
    data, how = (pairs if trainer in ("dpo", "reward") else rows)("sft-demo", first=64), HOW | own
    alone, stopped, resumed = Recorded(), Stopping(stop_at=3), Recorded()
    one = trained(trainer, job(tmp_path / "one", data, device="cpu"), alone, **how | {"processes": 1, "machines": 1})

    def shared(progress: Recorded) -> TrainingResult:
        lead = job(tmp_path / "two", data, device="cpu")
        if "machines" not in own:
            return trained(trainer, lead, progress, **how)
        with beside_another_machine(trainer, lead, tmp_path / "elsewhere", **how) as lead:
            return trained(trainer, lead, progress, **how)

    with pytest.raises(KeyboardInterrupt):
        shared(stopped)
    assert under_way() == []
    two = shared(resumed)

    told = [*stopped.steps, *resumed.steps[-1:]]
    for metric in alone.steps[0]:
        assert [metrics[metric] for metrics in told] == pytest.approx(alone.all(metric), rel=1e-4)
    assert len(resumed.steps) == 2  # from the checkpoint of step 2 on
    assert two.steps == one.steps
    assert furthest_apart(one, two) < 1e-5
    assert under_way() == []
    kept = {path.name for path in (tmp_path / "two" / "checkpoints").iterdir()}
    assert kept == {"checkpoint-2", "checkpoint-4"}
    assert len([*(tmp_path / "two" / "checkpoints" / "checkpoint-4").rglob("rng_state_*.pth")]) == 2


def test_processes_of_one_machine_listen_to_that_machine_alone(tmp_path: Path) -> None:
    class Looking(Recorded):
        def __init__(self) -> None:
            super().__init__()
            self.listening: list[str] = []

        def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
            super().step(step, total, metrics)
            for process in under_way():
                found = process.net_connections(kind="inet")
                self.listening += [one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN]

    looking = Looking()
    run = job(tmp_path, rows("sft-demo", first=64), device="cpu")
    trained("sft", run, looking, processes=2, **HOW | {"max_steps": 1})
    assert set(looking.listening) == {"127.0.0.1"}


@pytest.mark.full  # every process imports torch anew; the usual run stops and resumes `sft` in two
@pytest.mark.parametrize("trainer", ["grpo", "rloo"])
def test_processes_that_sample_answers_and_were_stopped_go_on_as_if_they_were_not(trainer: str, tmp_path: Path) -> None:
    data, how = rows("grpo-demo", first=64), HOW | {"processes": 2, "max_completion_length": 24}
    whole = trained(trainer, job(tmp_path / "whole", data, device="cpu"), **how)

    with pytest.raises(KeyboardInterrupt):
        trained(trainer, job(tmp_path / "stopped", data, device="cpu"), Stopping(stop_at=3), **how)
    resumed = trained(trainer, job(tmp_path / "stopped", data, device="cpu"), **how)

    assert weights(resumed) == weights(whole)


@pytest.mark.full  # the demo's training twice, a minute
def test_processes_that_sample_answers_learn_what_one_learns(tmp_path: Path) -> None:
    data = rows("grpo-demo", first=1000)
    demo = {option.name: option.default for option in GRPO_DEMO.configuration_options}
    rewards = {}
    for processes in (1, 2):
        told = Recorded()
        trained("grpo", job(tmp_path / str(processes), data, device="cpu"), told, **demo | {"processes": processes})
        rewards[processes] = told.all("reward")

    assert [sum(rewards[1][-10:]), sum(rewards[2][-10:])] == [pytest.approx(10, abs=1.5)] * 2
    assert max(sum(first[:10]) for first in rewards.values()) < 7


@pytest.mark.full  # every process imports torch anew; the usual run stops and resumes `sft` in two
def test_killed_at_any_moment_it_leaves_no_process_and_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    data = rows("sft-demo", first=64)
    whole = trained("sft", job(tmp_path / "whole", data, device="cpu"), processes=2, **HOW)

    killed("sft", job(tmp_path / "killed", data, device="cpu"), at=3, processes=2, **HOW)
    deadline = time.monotonic() + 10
    while (left := [p for p in psutil.process_iter() if str(tmp_path / "killed") in " ".join(_line(p))]) != []:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    resumed = trained("sft", job(tmp_path / "killed", data, device="cpu"), processes=2, **HOW)

    assert weights(resumed) == weights(whole)


def _line(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return []


@pytest.mark.full  # every process imports torch anew; the usual run stops and resumes `sft` in two
def test_what_goes_wrong_in_the_processes_is_the_runs_failure_in_its_own_words(tmp_path: Path) -> None:
    run = job(tmp_path, rows("sft-demo", first=64), device="cpu")
    without_a_rate = HOW | {"max_steps": 1, "warmup_steps": 1}

    with pytest.raises(BadResult, match="did not change a single weight"):
        trained("sft", run, processes=2, **without_a_rate)
    assert under_way() == []


@pytest.mark.full  # every process imports torch anew; the usual run stops and resumes `sft` in two
def test_a_process_that_is_killed_ends_the_run_and_the_others(tmp_path: Path) -> None:
    run = job(tmp_path, rows("sft-demo", first=64), device="cpu")

    with pytest.raises(RuntimeError, match=r"Process 2 of 2 was ended by SIGKILL"):
        trained("sft", run, Stopping(kill_at=1), processes=2, **HOW | {"max_steps": 50})
    assert under_way() == []


def test_what_dies_on_another_machine_interrupts_the_training_of_the_one_that_leads(tmp_path: Path) -> None:
    lead, how = job(tmp_path / "lead", rows("sft-demo", first=64), device="cpu"), HOW | {"machines": 2, "max_steps": 50}

    with (
        pytest.raises(MachineMissing, match="connection to another machine"),
        beside_another_machine("sft", lead, tmp_path / "elsewhere", **how) as lead,
    ):
        trained("sft", lead, Stopping(kill_at=3, where="elsewhere"), **how)
    assert under_way() == []


def test_a_machine_that_leaves_before_it_has_begun_interrupts_the_training_of_the_one_that_leads(
    tmp_path: Path,
) -> None:
    def gone() -> None:
        raise MachineMissing("It has left.")

    meeting = Meeting("127.0.0.1", several_processes.free_port(), 2, 0, all_are_there=gone)
    lead = replace(job(tmp_path, rows("sft-demo", first=64), device="cpu"), meeting=meeting)
    with pytest.raises(MachineMissing, match="It has left"):
        trained("sft", lead, machines=2, **HOW)
    assert under_way() == []


def test_rows_that_cannot_be_shared_evenly_are_refused(tmp_path: Path) -> None:
    run = job(tmp_path, rows("sft-demo", first=64), device="cpu")

    with pytest.raises(
        InvalidConfigurationOptions, match=r"multiple of options 'machines' \(1\) times 'processes' \(3\)"
    ):
        trained("sft", run, processes=3, **HOW)
    with pytest.raises(InvalidConfigurationOptions, match="machines share only a training that Prefect carries"):
        trained("sft", run, machines=2, **HOW)


def test_more_processes_than_gpus_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InvalidConfigurationOptions, match=r"each needs a GPU of its own, and this machine has 1"):
        trained("sft", job(tmp_path, rows("sft-demo", first=8), device="cuda"), processes=2, **HOW)


def test_only_trainers_for_which_it_was_shown_offer_it() -> None:
    offering = {
        name for name, declared in declarations().items() if "processes" in {option.name for option in declared.options}
    }
    assert offering == {"sft", "peft", "dpo", "reward", "grpo", "rloo"}


def test_a_process_whose_work_is_done_is_not_aborted_on_its_way_out(tmp_path: Path) -> None:
    share = replace(job(tmp_path, rows("sft-demo", first=8), device="cpu"), meeting=Meeting("127.0.0.1", 1, 2, 1))
    options = aborting_at_exit.Options()

    several_processes.take_part(aborting_at_exit.__name__, share, options, goes_on=lambda: True)
