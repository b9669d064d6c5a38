"""Real trainings of a few seconds, through the service and the session, without Prefect; each is made once."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from adapters.cli import run
from domain.audit.read_models import Run
from domain.runs.flow_runs import Queue
from domain.runs.training_run import RunRequest
from infra.service import Service
from infra.settings import Settings
from infra.trainings.training_session import recorded_session


class Quiet:
    """A watcher who needs to hear nothing."""

    def phase(self, words: str) -> None: ...
    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None: ...


def trained(installation: Service, run_id: UUID, **asked: Any) -> Run:
    """A run carried from its request to its end in this process."""
    with recorded_session(installation, run_id, asked, Quiet(), attempt=1) as session:
        session.start()
        session.measure_before()
        session.fit()
        session.measure_after()
        session.complete()
    return installation.trainings.one(run_id)


# Enough for an adapter to change what is answered.
TAUGHT = {"max_steps": 10, "learning_rate": 5e-3}

Train = Callable[..., Run]


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file of demonstrations: the first of the demo's."""
    from infra import samples

    sample = Path(samples.__file__).parent / "sft-demo" / "train.jsonl"
    file = tmp_path_factory.mktemp("rows") / "additions.jsonl"
    file.write_text("".join(sample.read_text().splitlines(keepends=True)[:60]))
    return file


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One migrated installation on SQLite for all these trainings."""
    with Service(Settings(home=tmp_path_factory.mktemp("house"), backends="cuda,mlx")) as installation:
        installation.migrate()
        yield installation


@pytest.fixture(scope="session")
def train(house: Service, rows: Path) -> Train:
    """Trains with SFT-Demo for three steps unless told otherwise."""

    def train(**asked: Any) -> Run:
        options = {"max_steps": 3, "batch_size": 4} | asked.pop("options", {})
        fields = {"method": "sft-demo", "backend": "cuda", "base_model": "small-base", "dataset": str(rows)}
        return trained(house, uuid4(), **fields | {"options": options} | asked)

    return train


class RunsHere:
    """Carries a run in this process as soon as it is released, where Prefect would let a worker do it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._waiting: dict[UUID, RunRequest] = {}

    def create(
        self, request: RunRequest, *, queue: Queue = Queue.INTERACTIVE, idempotency_key: str | None = None
    ) -> UUID:
        run_id = uuid4()
        self._waiting[run_id] = request
        return run_id

    def release(self, run_id: UUID) -> None:
        with Service(self._settings) as worker:
            trained(worker, run_id, **self._waiting.pop(run_id).model_dump(mode="json"))

    def cancel(self, run_id: UUID, reason: str) -> None: ...

    def told_progress(self, run_id: UUID) -> None:
        return None

    def progress(self, run_id: UUID) -> None:
        return None

    def log(self, run_id: UUID, *, limit: int) -> list[str]:
        return []

    def state(self, run_id: UUID) -> str:
        return "Completed"

    def address(self, run_id: UUID) -> str:
        return f"here/{run_id}"


class House(Service):
    """An installation that trains in this process."""

    @cached_property
    def flow_runs(self) -> Any:
        return RunsHere(self.settings)


@dataclass(frozen=True)
class Answer:
    """What a command answered: exit code, standard output and standard error."""

    code: int
    out: str
    err: str


Tmm = Callable[..., Answer]


@pytest.fixture
def tmm(house: Service, capsys: pytest.CaptureFixture[str]) -> Tmm:
    """One command line in the house of these trainings."""

    def call(*args: str) -> Answer:
        capsys.readouterr()
        code = run(lambda: House(house.settings), args)
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return call


@pytest.fixture(scope="session")
def whole(train: Train) -> Run:
    """All weights trained with torch."""
    return train(output_name="Adder | `one`")


@pytest.fixture(scope="session")
def on_mlx(train: Train) -> Run:
    """A LoRA adapter trained with MLX."""
    return train(method="mlx-demo", backend="mlx", options=TAUGHT)


@pytest.fixture(scope="session")
def rewarded(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All weights trained with GRPO on rewards."""
    from infra import samples

    sample = Path(samples.__file__).parent / "grpo-demo" / "train.jsonl"
    file = tmp_path_factory.mktemp("asked") / "sums.jsonl"
    file.write_text("".join(sample.read_text().splitlines(keepends=True)[:60]))
    options = {"max_steps": 3, "batch_size": 16, "learning_rate": 1e-3, "warmup_steps": 0}
    return train(method="grpo-demo", dataset=str(file), options=options)


@pytest.fixture(scope="session")
def lora(train: Train) -> Run:
    """A LoRA adapter trained with torch."""
    return train(options={"adapter": "lora"} | TAUGHT)
