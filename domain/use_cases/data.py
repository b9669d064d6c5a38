"""The acts on datasets and base models that have a name here."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from domain.audit.auditing import Auditing
from domain.people.users import User
from domain.runs.training_runs import TrainingRuns
from domain.use_cases.act import Act
from domain.values import Value

_RUNS_LOOKED_AT = 500


class NamedData(Value):
    """A dataset or base model that has a name here. `size` in bytes; `rows_hash` is sha256 of its contents.

    `rows` and `columns` are those of a dataset, None where it is too large to be read for a list; `problem` says why it
    cannot be used.
    """

    name: str
    sample: bool
    size: int
    rows: int | None = None
    columns: tuple[str, ...] = ()
    rows_hash: str | None = None
    used_by_runs: int = 0
    problem: str | None = None


class Preview(Value):
    """The first rows of a dataset, as its file has them."""

    data: NamedData
    rows: tuple[Mapping[str, Any], ...]


class ListDatasets(Act[Sequence[NamedData]]):
    """The datasets that have a name here."""


class ListBaseModels(Act[Sequence[NamedData]]):
    """The base models that have a name here."""


class PreviewDataset(Act[Preview]):
    """The first rows of a dataset."""

    name: str
    limit: int = 20


class UploadDataset(Act[NamedData]):
    """Keep a file as a dataset with a name, after it was checked; one with the same contents is kept once.

    Raises `InvalidDataset` naming file, row and column.
    """

    name: str
    file: Path


class DatasetLibrary(Protocol):
    """The datasets that have a name here. Each raises `NotFound` for a name that none has, and `InvalidDataset`."""

    def all(self) -> Sequence[NamedData]:
        """Every one, by name."""
        ...

    def one(self, name: str) -> NamedData: ...

    def first_rows(self, name: str, limit: int) -> Sequence[Mapping[str, Any]]:
        """As its file has them."""
        ...

    def keep(self, name: str, file: Path) -> NamedData:
        """Keep a file under a name, after it was checked."""
        ...


class BaseModelLibrary(Protocol):
    """The base models that have a name here."""

    def all(self) -> Sequence[NamedData]: ...


class Data:
    """Does these acts. Where data is used is looked up once for each state of the log."""

    def __init__(
        self, datasets: DatasetLibrary, base_models: BaseModelLibrary, runs: TrainingRuns, auditing: Auditing
    ) -> None:
        self._datasets = datasets
        self._base_models = base_models
        self._runs = runs
        self._auditing = auditing
        self._used: tuple[str, Counter[str], Counter[str]] | None = None

    def datasets(self, _: ListDatasets, __: User, ___: UUID | None = None) -> Sequence[NamedData]:
        """The datasets, and how many of the newest runs had each."""
        used, _base_models = self._uses()
        return [data.model_copy(update={"used_by_runs": used[data.name]}) for data in self._datasets.all()]

    def base_models(self, _: ListBaseModels, __: User, ___: UUID | None = None) -> Sequence[NamedData]:
        """The base models, and how many of the newest runs had each."""
        _datasets, used = self._uses()
        return [data.model_copy(update={"used_by_runs": used[data.name]}) for data in self._base_models.all()]

    def preview(self, act: PreviewDataset, _: User, __: UUID | None = None) -> Preview:
        """The first rows of one."""
        used, _base_models = self._uses()
        data = self._datasets.one(act.name).model_copy(update={"used_by_runs": used[act.name]})
        return Preview(data=data, rows=tuple(self._datasets.first_rows(act.name, act.limit)))

    def upload(self, act: UploadDataset, _: User, __: UUID | None = None) -> NamedData:
        """Keep a file as a dataset."""
        return self._datasets.keep(act.name, act.file)

    def _uses(self) -> tuple[Counter[str], Counter[str]]:
        state = self._auditing.state()
        if self._used is None or self._used[0] != state:
            requests = [run.request for run in self._runs.all(limit=_RUNS_LOOKED_AT)]
            datasets = Counter(asked.dataset for asked in requests)
            self._used = state, datasets, Counter(asked.base_model for asked in requests)
        return self._used[1], self._used[2]
