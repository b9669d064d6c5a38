"""All that an artefact tells of the run that made it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any

from domain.audit.read_models import AuditEntry, Run
from domain.catalogue.method_spec import MethodSpec
from domain.ports import Dataset, Evaluation
from domain.runs.training_run import Provenance
from domain.training import TrainingResult


@dataclass(frozen=True)
class RunStory:
    """A run at its end, just before its completion is recorded.

    `unmeasured` says why `after` is empty although something could have been measured; else it is empty itself.
    `requested` is the audit log's entry of who asked for it. `steps` are the reported ones: `step`, `at`, metrics.
    """

    run: Run
    method: MethodSpec
    requested: AuditEntry
    dataset: Dataset
    result: TrainingResult
    before: Evaluation
    after: Evaluation
    steps: Sequence[Mapping[str, Any]]
    unmeasured: str = ""

    @cached_property
    def provenance(self) -> Provenance:
        assert self.run.provenance is not None  # it was recorded when the run started
        return self.run.provenance

    @property
    def title(self) -> str:
        """The name that was wished for, or what was done."""
        return self.run.request.output_name or f"{self.short_base_model} after {self.method.display_name}"

    @property
    def short_base_model(self) -> str:
        """The base model's name, without the folders above it where it is a folder of the machine."""
        return short_name(self.run.request.base_model)

    @property
    def short_dataset(self) -> str:
        return short_name(self.run.request.dataset)


def short_name(name: str) -> str:
    """A sample's name or a hub id as it is; of a path only its last part: the rest is a machine's own affair."""
    return PurePath(name).name if PurePath(name).is_absolute() else name
