"""Real trainings of a few seconds, through the service and the session, without Prefect; each is made once."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from domain.read_models import Run
from infra.settings import Settings
from infra.training_session import recorded_session
from infra.wiring import Installation


class Quiet:
    """A watcher who needs to hear nothing."""

    def phase(self, words: str) -> None: ...
    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None: ...


def trained(installation: Installation, **asked: Any) -> Run:
    """A run carried from its request to its end in this process."""
    run_id = uuid4()
    with recorded_session(installation, run_id, asked, Quiet()) as session:
        session.start()
        session.measure_before()
        session.fit()
        session.measure_after()
        session.complete()
    return installation.service.training_run(run_id)


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
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One migrated installation on SQLite for all these trainings."""
    with Installation(Settings(home=tmp_path_factory.mktemp("house"), backends="cuda,mlx")) as installation:
        installation.migrate()
        yield installation


@pytest.fixture(scope="session")
def train(house: Installation, rows: Path) -> Train:
    """Trains with SFT-Demo for three steps unless told otherwise."""

    def train(**asked: Any) -> Run:
        options = {"max_steps": 3, "batch_size": 4} | asked.pop("options", {})
        fields = {"method": "sft-demo", "backend": "cuda", "base_model": "small-base", "dataset": str(rows)}
        return trained(house, **fields | {"options": options} | asked)

    return train


@pytest.fixture(scope="session")
def whole(train: Train) -> Run:
    """All weights trained with torch."""
    return train(output_name="Adder | `one`")


@pytest.fixture(scope="session")
def lora(train: Train) -> Run:
    """A LoRA adapter trained with torch."""
    return train(options={"adapter": "lora"})
