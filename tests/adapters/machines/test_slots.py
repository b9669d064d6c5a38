"""One training at a time on each GPU: the slots of a machine, and the locks that their trainings hold."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.machines import slots
from adapters.machines.slots import Slot, cuda_devices, is_in_use, own_slot, slots_of, visible_of
from domain.catalogue.method_spec import Backend
from infra.settings import CHECKOUT, Settings

HOLD = """
import sys
from infra.settings import Settings
from adapters.machines.slots import own_slot
with own_slot(Settings.from_environment().slots_folder, waiting=lambda: print("waits", flush=True)):
    print("holds", flush=True)
    sys.stdin.read()
"""


def _devices(slots: list[Slot]) -> list[str | None]:
    return [slot.environment.get("CUDA_VISIBLE_DEVICES") for slot in slots]


@pytest.mark.parametrize(
    ("count", "allowed", "visible"),
    [
        (0, None, ()),
        (0, "0,1", ()),
        (2, None, ("0", "1")),
        (4, "2, 3", ("2", "3")),
        (4, "3,-1,0", ("3",)),
        (2, "", ()),
        (2, "GPU-8f2a", ("GPU-8f2a",)),
    ],
)
def test_the_gpus_are_those_that_cuda_itself_would_see(
    count: int, allowed: str | None, visible: tuple[str, ...]
) -> None:
    assert visible_of(count, allowed) == visible


def test_each_gpu_is_a_slot_that_sees_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "cuda_devices", lambda: ("0", "2"))
    of_cuda = slots_of(Backend.CUDA)
    assert _devices(of_cuda) == ["0", "2"]
    assert len({slot.name for slot in of_cuda}) == 2
    assert _devices(slots_of(Backend.MLX)) == [None]
    assert _devices(slots_of(Backend.CUDA, asked=3)) == ["0", "2", "0"]
    assert _devices(slots_of(Backend.CUDA, asked=1)) == ["0,2"]


@pytest.mark.skipif(bool(cuda_devices()), reason="this machine has a GPU")
def test_a_machine_without_a_gpu_has_one_slot_and_as_many_as_are_asked_for() -> None:
    assert _devices(slots_of(Backend.CUDA)) == [None]
    assert _devices(slots_of(Backend.CUDA, asked=2)) == [None, None]


def test_a_training_keeps_its_slot_until_its_process_is_gone_and_the_next_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = Settings(home=tmp_path).slots_folder

    def training(slot: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", HOLD],
            env=os.environ | {"TMM_HOME": str(tmp_path), "TMM_SLOT": slot, "PYTHONPATH": str(CHECKOUT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def said(process: "subprocess.Popen[str]") -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    monkeypatch.setenv("TMM_SLOT", "cuda-1")
    assert not is_in_use(locks)
    with training("cuda-1") as first, training("cuda-2") as beside:
        assert (said(first), said(beside)) == ("holds", "holds")
        assert is_in_use(locks)
        with training("cuda-1") as second:
            assert said(second) == "waits"
            first.kill()
            assert said(second) == "holds"
            second.kill()
        beside.kill()
    assert not is_in_use(locks)


def test_a_process_without_a_slot_waits_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMM_SLOT", raising=False)
    locks = Settings(home=tmp_path).slots_folder
    with own_slot(locks, waiting=lambda: pytest.fail("it waited")):
        assert not is_in_use(locks)
    assert not locks.exists()
