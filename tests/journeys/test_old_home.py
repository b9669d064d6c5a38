"""An installation that an earlier version left behind: it opens, verifies, trains, and goes on where it stopped."""

import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from adapters.run_files import weights_hash_of
from domain.audit.read_models import Run
from domain.errors import CommercialUsersOnly
from domain.people.users import Edition
from infra.settings import Settings
from infra.trainings.training_session import recorded_session
from infra.wiring import Installation

HERE = Path(__file__).parent / "old_home"
EXPECTED = json.loads((HERE / "expected.json").read_text())
COMPLETE, INTERRUPTED = UUID(int=1), UUID(int=2)
ASKED = {"backend": "cuda", "base_model": "small-base", "dataset": "sft-demo"}


class Watcher:
    """Needs to hear nothing."""

    def phase(self, words: str) -> None: ...
    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None: ...


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(HERE / "home.tar.gz") as archive:
        # Pythons before 3.11.4 have no filters; the archive is ours.
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    with Installation(Settings(home=folder / "home", backends="cuda")) as installation:
        yield installation


def trained(tmm: Installation, run_id: UUID, asked: Mapping[str, object], *, attempt: int = 1) -> Run:
    with recorded_session(tmm, run_id, asked, Watcher(), attempt=attempt) as session:
        session.start()
        session.measure_before()
        session.fit()
        session.measure_after()
        session.complete()
    return tmm.trainings.one(run_id)


def test_its_log_is_what_was_signed(old: Installation) -> None:
    found = old.proof.verify()
    assert (found.findings, found.checkpoints) == ((), 1)


def test_its_methods_can_be_chosen_and_those_deleted_cannot(old: Installation) -> None:
    names = [method.spec.internal_name for method in old.catalogue.selectable()]
    assert names == EXPECTED["selectable"]


def test_its_licence_holds_and_the_refusal_before_it_is_told(old: Installation) -> None:
    user = old.user()
    assert user.entitlement.edition is Edition.COMMERCIAL
    old.catalogue.delete("grpo-demo", by=user)
    entitlement = user.entitlement.model_copy(update={"edition": Edition.NONCOMMERCIAL})
    stranger = user.model_copy(update={"entitlement": entitlement})
    with pytest.raises(CommercialUsersOnly):
        old.catalogue.delete("sft-demo", by=stranger)


@pytest.mark.training
def test_its_interrupted_run_goes_on_to_the_weights_that_it_would_have_had(old: Installation) -> None:
    asked = old.trainings.one(INTERRUPTED).request.model_dump(mode="json")
    run = trained(old, INTERRUPTED, asked, attempt=2)
    assert weights_hash_of(Path(str(run.artifact))) == EXPECTED["weights"]


@pytest.mark.training
def test_its_own_code_trains(old: Installation) -> None:
    run = trained(old, uuid4(), ASKED | {"method": "custom01", "options": {"max_steps": 2}})
    assert run.artifact is not None
