"""A run's newest checkpoint is where every machine reaches it, whole, for as long as the run may be resumed."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import fsspec
import pytest

from adapters.artifacts import shared_checkpoints
from adapters.artifacts.artifact_store import Artifacts
from adapters.artifacts.shared_checkpoints import SharedCheckpoints
from adapters.shared.training.checkpoints import FolderCheckpoints
from adapters.shared.training.training_progress import RunProgress, steps_told
from domain.errors import Unreachable
from tests.infra.runs.conftest import Quiet
from tests.journeys.conftest import eventually

RUN = UUID(int=7)


class Machine:
    """The run's folder on one machine, and the store that it shares with others."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder = folder / "runs" / str(RUN)
        self.folder.mkdir(parents=True)
        self.checkpoints = FolderCheckpoints(self.folder / "checkpoints")
        self.shared = SharedCheckpoints(Artifacts(store))

    def take(self, step: int, words: str = "the state") -> None:
        progress = RunProgress(self.folder, Quiet())
        progress.step(step, 9, {"loss": 1 / step})
        self.checkpoints.save(step, lambda into: (into / "state").write_text(f"{words} of {step}") and None)

    def copied(self, step: int) -> None:
        """Copy what is there, until the store has the copy of this step."""
        with self.shared.kept_up(RUN, self.folder, self.checkpoints):
            eventually(lambda: step in self.kept(), within=10, what=f"a copy of step {step}")

    def kept(self) -> set[int]:
        return {copy.step for copy in self.shared._copies_of(RUN)}

    def brought(self) -> tuple[int, str] | None:
        self.shared.bring(RUN, self.folder, self.checkpoints)
        newest = self.checkpoints.newest()
        return newest and (newest[0], (newest[1] / "state").read_text())


MachineAt = Callable[[str], Machine]


@pytest.fixture(params=["folder", "memory"])
def machine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MachineAt:
    monkeypatch.setattr(shared_checkpoints, "_LOOK_EVERY_S", 0.01)
    store = str(tmp_path / "shared") if request.param == "folder" else f"memory://{uuid4()}"
    return lambda name: Machine(tmp_path / name, store)


def test_another_machine_goes_on_with_what_the_first_one_reached(machine: MachineAt) -> None:
    one, other = machine("one"), machine("other")
    assert other.brought() is None
    one.take(2)
    one.copied(2)
    assert other.brought() == (2, "the state of 2")
    assert [step["step"] for step in steps_told(other.folder)] == [2]
    other.take(4)
    other.copied(4)
    assert one.brought() == (4, "the state of 4")
    assert [step["step"] for step in steps_told(one.folder)] == [2, 4]


def test_what_is_newer_here_stays(machine: MachineAt) -> None:
    one, other = machine("one"), machine("other")
    one.take(2)
    one.copied(2)
    other.take(3, "its own state")
    assert other.brought() == (3, "its own state of 3")


def test_a_copy_that_is_cut_short_leaves_the_one_before_it(machine: MachineAt, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = machine("one"), machine("other")
    for step in (1, 2, 3):
        one.take(step)
        one.copied(step)
    assert one.kept() == {2, 3}
    one.take(4)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    for writing in ((fsspec.filesystem("memory"), "pipe_file"), (Path, "rename")):
        monkeypatch.setattr(*writing, dies)
    with suppress(KeyboardInterrupt):
        one.shared._copy(RUN, one.folder, 4, one.folder / "checkpoints" / "checkpoint-4")
    monkeypatch.undo()
    assert other.brought() == (3, "the state of 3")


def test_what_a_killed_process_was_copying_is_cleared_away(machine: MachineAt) -> None:
    one = machine("one")
    (one.folder / ".being-copied-abc" / "checkpoint").mkdir(parents=True)
    one.take(2)
    one.copied(2)
    assert {path.name for path in one.folder.iterdir()} == {"checkpoints", "metrics.jsonl"}


def test_the_copies_of_runs_that_have_ended_go(machine: MachineAt) -> None:
    one, other = machine("one"), machine("other")
    one.take(2)
    one.copied(2)
    one.shared.clear(lambda _: False)
    assert one.kept() == {2}
    one.shared.clear(lambda run_id: run_id == RUN)
    assert one.kept() == set()
    assert other.brought() is None


def test_a_store_that_is_away_stops_no_training_and_is_told_where_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shared_checkpoints, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(shared_checkpoints, "_LOOK_AGAIN_AFTER_FAILURE_S", 0.01)
    one = Machine(tmp_path / "one", str(tmp_path / "shared"))
    one.take(2)

    def away(*_: object) -> None:
        raise ConnectionError("no route to it")

    with monkeypatch.context() as patched:
        patched.setattr(Artifacts, "read", away)
        with one.shared.kept_up(RUN, one.folder, one.checkpoints):
            eventually(lambda: "The checkpoint of step 2 was not copied: no route" in caplog.text, within=10, what="it")
        with pytest.raises(Unreachable, match=r"no route to it.*TMM_SHARED_CHECKPOINTS"):
            one.brought()
    one.copied(2)
