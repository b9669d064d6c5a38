"""Makes the installation of an earlier version that `test_old_home.py` opens: `python -m tests.journeys.old_home.make`.

Run it with the code of that version. What it writes, home.tar.gz beside this file, is kept as it is: a licence and
those who may use it, methods that were added, modified and deleted, code of one's own, a refused attempt, a training
that is complete, one that was interrupted after a checkpoint, and a signed state of the log.
"""

import json
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from adapters.run_files import weights_hash_of
from adapters.trainers import declarations
from domain.catalogue.method_spec import Backend, MethodSpec
from domain.errors import MachineMissing, Refused
from domain.use_cases.custom_code import code_fields
from infra.settings import Settings
from infra.trainings.training_session import recorded_session
from infra.wiring import Installation

HERE = Path(__file__).parent
COMPLETE, INTERRUPTED = UUID(int=1), UUID(int=2)
OPTIONS = {"max_steps": 6, "batch_size": 4, "save_steps": 3, "lora_rank": 1, "learning_rate": 5e-3}
ASKED = {"method": "thin-adapter", "backend": "cuda", "base_model": "small-base", "dataset": "sft-demo"}
TILL = datetime(2099, 1, 1, tzinfo=UTC)


class Watcher:
    """Lets a training be stopped at a step."""

    def __init__(self, stop_at: int | None = None) -> None:
        self._stop_at = stop_at

    def phase(self, words: str) -> None: ...

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        if step == self._stop_at:
            raise MachineMissing("Its machine went away.")


def train(tmm: Installation, run_id: UUID, watcher: Watcher, *, attempt: int = 1) -> None:
    """A run from its request to its end in this process; one that was interrupted goes on."""
    with recorded_session(tmm, run_id, ASKED | {"options": OPTIONS, "seed": 7}, watcher, attempt=attempt) as session:
        session.start()
        session.measure_before()
        session.fit()
        session.measure_after()
        session.complete()


def fill(tmm: Installation, outside: Path) -> dict[str, Any]:
    """Let a person do all of that; what is to be found again."""
    by = tmm.user()
    tmm.catalogue.modify("custom02", {"description": "Before there was a licence"}, by=by)
    with suppress(Refused):
        tmm.catalogue.delete("sft-demo", by=by)
    days = (TILL - datetime.now(UTC)) // timedelta(days=1)
    tmm.licences.generate_pair(outside / "keys")
    tmm.licences.trust((outside / "keys" / "public.pem").read_bytes())
    licence = outside / "acme.licence"
    tmm.licences.issue(outside / "keys" / "private.pem", customer="Acme", users=["*"], days=days, out=licence)
    tmm.licences.install(licence.read_bytes())
    by = tmm.user()

    demo = tmm.catalogue.method("sft-demo").spec
    fields = demo.model_dump(mode="json") | {"internal_name": "thin-adapter", "display_name": "Thin adapter"}
    offered = [option.model_dump(mode="json", exclude_none=True) for option in declarations()["peft"].options]
    spec = MethodSpec.parse(
        fields | {"trainer": "peft", "method_type": "PEFT", "configuration_options": offered, "backends": ["cuda"]}
    )
    tmm.catalogue.add(spec, by=by)
    tmm.catalogue.add(demo.model_copy(update={"internal_name": "short-lived"}), by=by)
    tmm.catalogue.delete("short-lived", by=by)

    folder = outside / "custom01"
    tmm.workshop.new("custom01", template="custom01", backend=Backend.CUDA, folder=folder)
    code = tmm.workshop.keep(folder, backends=[Backend.CUDA])
    tmm.catalogue.modify("custom01", code_fields(code, {}), by=by)

    train(tmm, COMPLETE, Watcher())
    with suppress(MachineMissing):
        train(tmm, INTERRUPTED, Watcher(stop_at=5))
    tmm.proof.make_checkpoint(by=by)
    run = tmm.trainings.one(COMPLETE)
    return {
        "weights": weights_hash_of(Path(str(run.artifact))),
        "selectable": [method.spec.internal_name for method in tmm.catalogue.selectable()],
    }


def main() -> None:
    """Write home.tar.gz and expected.json beside this file."""
    with tempfile.TemporaryDirectory() as name:
        outside, home = Path(name), Path(name) / "home"
        with Installation(Settings(home=home, backends="cuda")) as tmm:
            tmm.migrate()
            expected = fill(tmm, outside)
        for left_out in (f"runs/{COMPLETE}", f"artifacts/{COMPLETE}", "measured", "tried", "slots"):
            shutil.rmtree(home / left_out, ignore_errors=True)
        with tarfile.open(HERE / "home.tar.gz", "w:gz") as archive:
            archive.add(home, arcname="home")
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
