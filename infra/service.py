"""This installation with all that people and programs can do here."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

from domain.audit.read_models import Run
from domain.ports import Asked, ExportedModel
from domain.runs.run_plan import RunPlan
from domain.runs.training_run import Provenance, RunRequest
from infra.acts import Acts
from infra.wiring import Installation


class Service(Installation):
    """What every way in is given."""

    @cached_property
    def do(self) -> Acts:
        """Does what people and programs can do here."""
        return Acts(self)

    # What is no act yet.

    def update_prefect(self) -> str | None:
        """Let the Prefect catalogue follow the selectable list; a warning when it cannot follow now."""
        from infra.upkeep.publishing import update_prefect

        return update_prefect(self)

    def checked(self, request: RunRequest) -> RunRequest:
        """The request as any worker of this machine can read it. Raises `InvalidInput` for what cannot be."""
        from infra.trainings.preparing import checked

        return checked(self, request)

    def plan(self, request: RunRequest) -> RunPlan:
        """What a run of this request would do and take. Raises the error that says why it cannot go well."""
        from infra.trainings.preparing import planned

        return planned(self, request)

    def note_waiting(self, run_id: UUID) -> None:
        """Record the request of a run that waits in Prefect, if it is one of ours that nobody has recorded yet."""
        from infra.trainings.waiting_runs import note

        for waiting in self.flow_run_states.waiting(run_id):
            note(self, waiting)

    def made_of(self, request: RunRequest) -> Provenance:
        """What a run of this request would be made of here and now, but for device and machine, which are empty."""
        from infra.trainings.preparing import made_of

        return made_of(self, request)

    def steps_of(self, run: Run) -> list[dict[str, float]]:
        """`step` and the metrics of every step that a run has reported."""
        from infra.trainings.results import steps_of

        return steps_of(self, run)

    def export(self, run: Run, out: Path) -> ExportedModel:
        """Write the model of a completed run as one folder that transformers and mlx_lm open."""
        from infra.trainings.results import export

        return export(self, run, out)

    def ask(self, run: Run, questions: Sequence[str], *, longest: int, temperature: float, seed: int) -> Asked:
        """What the base model and the result of a completed run say to the questions."""
        from infra.trainings.results import ask

        return ask(self, run, questions, longest=longest, temperature=temperature, seed=seed)

    def measure(self, run: Run) -> Run:
        """Measure a run that completed unmeasured, here and now; the run as it stands then."""
        from infra.trainings.measuring_later import measure

        return measure(self, run)

    def answers_of(self, run: Run) -> list[dict[str, Any]]:
        """Sample answers of a run, before and after."""
        from infra.trainings.results import answers_of

        return answers_of(self, run)
